/** The processes of wireguard-go, as this process sees them, and how the kernel shares the cores with them. */
import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
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

/** Processes looked at before others have their turn. */
const AT_ONCE = 200;

/**
 * At once, because the kernel answers from its memory: by the pool of threads each of a host's hundreds of processes would cost
 * ten times as much. A stranger's command line may keep who reads it waiting; its name does not.
 */
export async function tunnelProcesses(): Promise<TunnelProcess[]> {
  const found: TunnelProcess[] = [];
  const entries = (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry));
  for (const [at, entry] of entries.entries()) {
    if (at % AT_ONCE === AT_ONCE - 1) await setImmediate();
    if (textOf(`/proc/${entry}/comm`) !== "wireguard-go\n") continue;
    const [program = "", foreground, name = ""] = textOf(`/proc/${entry}/cmdline`).split("\0");
    if (/(^|\/)wireguard-go$/.test(program) && foreground === "-f") found.push({ pid: Number(entry), name });
  }
  return found;
}

/** Empty when the process has ended. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

export async function isBatch({ pid }: TunnelProcess): Promise<boolean> {
  const stat = textOf(`/proc/${pid}/stat`);
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
  totals: async () => readFileSync("/proc/net/netstat", "utf8"),
  counters: () => readFile("/proc/net/dev", "utf8"),
  processes: tunnelProcesses,
  ...{ isBatch, setBatch },
};
