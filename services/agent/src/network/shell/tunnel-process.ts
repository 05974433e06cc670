/** The processes of wireguard-go, as this process sees them, and how the kernel shares the cores with them. */
import { readdir, readFile } from "node:fs/promises";
import { runCommand } from "../../outbound/run-command.ts";

/** sched(7), as `/proc/PID/stat` tells it. */
const SCHED_BATCH = 3;
const POLICY_FIELD = 41;

export interface TunnelProcess {
  readonly pid: number;
  /** Of its interface. */
  readonly name: string;
}

/** Of the kernel and its processes. */
export interface TunnelKernel {
  /** `/proc/net/netstat` of the host. */
  totals(): Promise<string>;
  /** `/proc/net/dev` of the host: the more interfaces it has, the more it costs. */
  counters(): Promise<string>;
  processes(): Promise<readonly TunnelProcess[]>;
  isBatch(process: TunnelProcess): Promise<boolean>;
  setBatch(process: TunnelProcess, isBatch: boolean): Promise<void>;
}

export async function tunnelProcesses(): Promise<TunnelProcess[]> {
  const found: TunnelProcess[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const words = (await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "")).split("\0");
    const [program = "", foreground, name = ""] = words;
    if (/(^|\/)wireguard-go$/.test(program) && foreground === "-f") found.push({ pid: Number(entry), name });
  }
  return found;
}

export async function isBatch({ pid }: TunnelProcess): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The second field, a name in brackets, may have anything in it; the third comes after it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[POLICY_FIELD - 3]) === SCHED_BATCH;
}

/** All threads; those to come have it from whoever makes them. */
export async function setBatch({ pid }: TunnelProcess, isBatch: boolean): Promise<void> {
  const policy = isBatch ? "--batch" : "--other";
  await runCommand(["chrt", "--all-tasks", policy, "--pid", "0", String(pid)]);
}

export const tunnelKernel: TunnelKernel = {
  totals: () => readFile("/proc/net/netstat", "utf8"),
  counters: () => readFile("/proc/net/dev", "utf8"),
  processes: tunnelProcesses,
  ...{ isBatch, setBatch },
};
