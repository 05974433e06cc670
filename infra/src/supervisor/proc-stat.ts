/**
 * What /proc says about a process. A pid alone is no identity, because the kernel gives it out again;
 * pid + start time + boot id is one.
 */
import { readFileSync } from "node:fs";

export type ProcStat = { readonly state: string; readonly processGroup: number; readonly startTicks: string };

/** @returns null when there is no such process. */
export function readProcStat(pid: number): ProcStat | null {
  try {
    return parseProcStat(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return null;
  }
}

/** The command name (field 2) may hold spaces and brackets, so fields are counted after its last bracket. */
export function parseProcStat(line: string): ProcStat | null {
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  const [state, processGroup, startTicks] = [fields[0], fields[2], fields[19]];
  if (state === undefined || processGroup === undefined || startTicks === undefined) return null;
  return { state, processGroup: Number(processGroup), startTicks };
}

/** True while exactly that process lives. A zombie has ended. */
export function isAlive(pid: number, startTicks: string): boolean {
  const stat = readProcStat(pid);
  return stat !== null && stat.startTicks === startTicks && stat.state !== "Z" && stat.state !== "X";
}

export function readBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
