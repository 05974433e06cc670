/** CPU seconds of processes, as the kernel counts them. */
import { readFileSync } from "node:fs";

/** Of USER_HZ, which is 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** A process alone, with the children that it waited for. */
export function cpuSecondsOf(pid: number): number {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, "utf8");
    return parseCpuSeconds(line);
  } catch {
    return 0; // it has ended
  }
}

/** utime, stime, cutime, cstime: fields 14 to 17, counted after the name's last bracket. */
export function parseCpuSeconds(statLine: string): number {
  const fields = statLine.slice(statLine.lastIndexOf(")") + 2).split(" ");
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0) / ticksPerSecond;
}

/** A process and its living children, such as a PostgreSQL with its backends. */
export function cpuSecondsOfTree(pid: number): number {
  return childrenOf(pid).reduce((sum, child) => sum + cpuSecondsOfTree(child), cpuSecondsOf(pid));
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    return text === "" ? [] : text.split(" ").map(Number);
  } catch {
    return []; // it has ended
  }
}
