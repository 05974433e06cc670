/**
 * A running process as the supervisor sees it: started by this supervisor (then the kernel tells when it ends),
 * or adopted from an earlier one (then /proc is asked).
 */
import { spawn } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { limitProcess, removeCgroups } from "./cgroup.ts";
import { closeLog, logSince, logSize, openLog } from "./log-file.ts";
import { isAlive, readProcStat } from "./proc-stat.ts";
import type { ProcessSpec } from "./process-spec.ts";
import { userIds } from "./user.ts";

const adoptedPollMs = 200;

export type ProcessHandle = {
  readonly pid: number;
  readonly startTicks: string;
  readonly startedAtMs: number;
  readonly adopted: boolean;
  /** Output since the start; null when adopted. */
  readonly readOutput: () => string | null;
  /** Resolves with a sentence about how it ended; never rejects. */
  readonly ended: Promise<string>;
};

/** @throws Error when the command cannot be executed (missing file, unknown user, limit that cannot be set). */
export async function startProcess(runDir: string, spec: ProcessSpec): Promise<ProcessHandle> {
  const [file, ...args] = spec.command;
  if (file === undefined) throw new Error(`${spec.name}: the command is empty`);
  const logOffset = logSize(runDir, spec.name);
  const log = openLog(runDir, spec.name);
  try {
    const child = spawn(file, args, {
      env: spec.env,
      cwd: spec.cwd ?? "/",
      detached: true,
      stdio: ["ignore", log, log],
      ...(spec.user === undefined ? {} : userIds(spec.user)),
    });
    const ended = new Promise<string>((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("exit", (code, signal) =>
        resolve(signal === null ? `exit code ${code}` : `signal ${signal}`),
      );
    });
    const pid = child.pid;
    if (pid === undefined) throw new Error(`${spec.name} cannot be started: ${await ended}`);
    if (spec.cgroupLimits !== undefined) limitOrKill(spec, pid);
    const startTicks = readProcStat(pid)?.startTicks ?? "ended";
    return {
      pid,
      startTicks,
      startedAtMs: Date.now(),
      adopted: false,
      readOutput: () => logSince(runDir, spec.name, logOffset),
      ended,
    };
  } finally {
    closeLog(log);
  }
}

function limitOrKill(spec: ProcessSpec, pid: number): void {
  try {
    if (spec.cgroupLimits !== undefined) limitProcess(spec.name, pid, spec.cgroupLimits);
  } catch (cause) {
    signalGroup(pid, "SIGKILL");
    throw new Error(`${spec.name}: its limits cannot be set: ${String(cause)}`, { cause });
  }
}

/** @returns null when that process lives no more. */
export function adoptProcess(pid: number, startTicks: string, startedAtMs: number): ProcessHandle | null {
  if (!isAlive(pid, startTicks)) return null;
  const ended = (async () => {
    while (isAlive(pid, startTicks)) await delay(adoptedPollMs);
    return "ended (it was adopted, so its exit code is unknown)";
  })();
  return { pid, startTicks, startedAtMs, adopted: true, readOutput: () => null, ended };
}

/**
 * Stops it: the leader gets the stop signal, after the deadline the whole group gets SIGKILL.
 * @returns how it ended.
 */
export async function stopProcess(handle: ProcessHandle, spec: ProcessSpec): Promise<string> {
  signalOne(handle, spec.stopSignal);
  const timer = setTimeout(() => signalOne(handle, "SIGKILL"), spec.stopTimeoutMs);
  const how = await handle.ended;
  clearTimeout(timer);
  return how;
}

/** Ends what a leader left behind in its process group. Call only after the leader has ended. */
export function sweepGroup(handle: ProcessHandle, spec: ProcessSpec): void {
  if (spec.killGroupOnExit) signalGroup(handle.pid, "SIGKILL");
  if (spec.cgroupLimits !== undefined) removeCgroups(spec.name);
}

function signalOne(handle: ProcessHandle, signal: NodeJS.Signals): void {
  if (!isAlive(handle.pid, handle.startTicks)) return;
  try {
    process.kill(handle.pid, signal);
  } catch {
    // it ended between the two calls
  }
}

function signalGroup(leaderPid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leaderPid, signal);
  } catch {
    // the group is empty
  }
}
