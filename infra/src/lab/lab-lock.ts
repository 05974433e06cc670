/**
 * One change of a lab's shape at a time: two `lab up` at once would start each host twice.
 * The lock is a file with pid and start time; one whose process has ended counts for nothing.
 */
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { isAlive, readProcStat } from "../supervisor/proc-stat.ts";

const Holder = z.object({ pid: z.int(), startTicks: z.string() });

/** @throws Error at once, with the holder's pid, when another process changes the lab. */
export async function withLabLock<T>(stateDir: string, work: () => Promise<T>): Promise<T> {
  mkdirSync(stateDir, { recursive: true, mode: 0o755 });
  const path = join(stateDir, "lab.lock");
  takeLock(path);
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

function takeLock(path: string): void {
  const mine = `${path}.${process.pid}`;
  const startTicks = readProcStat(process.pid)?.startTicks ?? "";
  writeFileSync(mine, JSON.stringify({ pid: process.pid, startTicks }), { mode: 0o600 });
  try {
    if (livingHolder(path) === null) rmSync(path, { force: true });
    // A link fails when the name exists, so of two that come together one wins.
    linkSync(mine, path);
  } catch {
    throw new Error(
      `another process (pid ${livingHolder(path) ?? "unknown"}) is making or removing this lab: ` +
        "wait for its end, then run this again",
    );
  } finally {
    rmSync(mine, { force: true });
  }
}

function livingHolder(path: string): number | null {
  try {
    const { pid, startTicks } = Holder.parse(JSON.parse(readFileSync(path, "utf8")));
    return isAlive(pid, startTicks) ? pid : null;
  } catch {
    return null;
  }
}
