/** One command at a time changes a pod. A lock whose process has ended is taken over. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { holderOf, tryLock } from "../supervisor/lock.ts";

/** @throws Error that names the other process when one works on this pod. */
export async function withPodLock<T>(stateDir: string, what: string, work: () => Promise<T>): Promise<T> {
  const path = join(stateDir, "command.lock");
  if (!tryLock(path))
    throw new Error(
      `another berth command (pid ${holderOf(path) ?? "unknown"}) works on ${stateDir}. Wait for it, then run 'berth ${what}' again.`,
    );
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}
