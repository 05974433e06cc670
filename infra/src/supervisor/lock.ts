/**
 * One supervisor per run folder. The lock is a file with pid and start time, created exclusively; a lock whose
 * process has ended is taken over.
 */
import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { isAlive, readProcStat } from "./proc-stat.ts";

const Lock = z.object({ pid: z.int(), startTicks: z.string() });

export function lockPath(runDir: string): string {
  return join(runDir, "supervisor.lock");
}

/** @returns the pid of the living supervisor of this folder, or null. */
export function lockHolder(runDir: string): number | null {
  return holderOf(lockPath(runDir));
}

export function holderOf(path: string): number | null {
  try {
    const { pid, startTicks } = Lock.parse(JSON.parse(readFileSync(path, "utf8")));
    return isAlive(pid, startTicks) ? pid : null;
  } catch {
    return null;
  }
}

/** @throws Error when another supervisor holds the folder. */
export function takeLock(runDir: string): void {
  if (!tryLock(lockPath(runDir)))
    throw new Error(`another supervisor (pid ${lockHolder(runDir) ?? "unknown"}) already runs ${runDir}`);
}

/** @returns false when a living process holds this lock file. */
export function tryLock(path: string): boolean {
  const mine = `${path}.${process.pid}`;
  writeFileSync(
    mine,
    JSON.stringify({ pid: process.pid, startTicks: readProcStat(process.pid)?.startTicks ?? "" }),
    { mode: 0o600 },
  );
  try {
    if (holderOf(path) === null) rmSync(path, { force: true });
    // A link fails when the name exists, so of two that start together one wins.
    linkSync(mine, path);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(mine, { force: true });
  }
}

export function releaseLock(runDir: string): void {
  rmSync(lockPath(runDir), { force: true });
}
