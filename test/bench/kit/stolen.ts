/** CPU time that a virtual machine asked for and did not get, because others on the same physical machine had it. */
import { readFileSync } from "node:fs";

/** Of all cores together since the machine's start, in the kernel's ticks. */
export interface CpuTimes {
  readonly all: number;
  readonly stolen: number;
}

const STOLEN_FIELD = 7;

/** @param text `/proc/stat`, whose first line is `cpu  user nice system idle iowait irq softirq steal …` (proc(5)) */
export function parseCpuTimes(text: string): CpuTimes {
  const [line = ""] = text.split("\n");
  // What guests had is in `user` already.
  const fields = line.trim().split(/\s+/).slice(1, 9).map(Number);
  return { all: fields.reduce((sum, ticks) => sum + ticks, 0), stolen: fields[STOLEN_FIELD] ?? 0 };
}

export const readCpuTimes = (): CpuTimes => parseCpuTimes(readFileSync("/proc/stat", "utf8"));

/** 0 to 1: of the time of all cores from `from` to `to`. */
export function stolenShare(from: CpuTimes, to: CpuTimes): number {
  const all = to.all - from.all;
  return all <= 0 ? 0 : (to.stolen - from.stolen) / all;
}
