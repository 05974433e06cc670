/**
 * Where slow things are kept that are the same for every pod and lab of this machine: the stack image's tars, the
 * lab hosts' root file system, nats-server. `BERTH_CACHE_DIR` lets several state folders share one (tests do).
 */
import { join } from "node:path";

export function cacheDirOf(stateDir: string): string {
  return process.env.BERTH_CACHE_DIR ?? join(stateDir, "cache");
}

/** Tools that were unpacked for all: looked at before anything is fetched. */
export function sharedToolsDir(): string | null {
  const shared = process.env.BERTH_CACHE_DIR;
  return shared === undefined ? null : join(shared, "tools");
}
