/**
 * Limits of the kernel that a host with many containers meets long before its memory ends: key rings and inotify
 * instances are counted per user, and all containers of a user namespace share one; processes, neighbours and
 * tracked connections are counted for the whole machine. Raised, never lowered.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Progress } from "../progress.ts";

/** In this order: the kernel wants the neighbour table's hard limit before the soft ones. */
const atLeast: Readonly<Record<string, number>> = {
  "kernel/keys/maxkeys": 20_000,
  "kernel/keys/maxbytes": 2_000_000,
  "kernel/keys/root_maxkeys": 1_000_000,
  "kernel/keys/root_maxbytes": 25_000_000,
  "kernel/pid_max": 262_144,
  "kernel/threads-max": 131_072,
  "fs/inotify/max_user_instances": 8192,
  "fs/inotify/max_user_watches": 524_288,
  "net/ipv4/neigh/default/gc_thresh3": 16_384,
  "net/ipv4/neigh/default/gc_thresh2": 8192,
  "net/ipv4/neigh/default/gc_thresh1": 2048,
  "net/netfilter/nf_conntrack_max": 262_144,
};

/**
 * What cannot be raised is told, not fatal: a small host works without, and its agent stops bidding before a limit.
 * A limit that this kernel or network namespace does not have is passed over.
 */
export async function raiseKernelLimits(progress: Progress, folder = "/proc/sys"): Promise<void> {
  for (const [name, wanted] of Object.entries(atLeast)) {
    const path = join(folder, name);
    const text = await readFile(path, "utf8").catch(() => null);
    if (text === null) continue;
    const present = Number(text.trim());
    if (present >= wanted) continue;
    try {
      await writeFile(path, String(wanted));
      const now = Number((await readFile(path, "utf8")).trim());
      if (now < wanted) throw new Error(`the kernel kept ${now}`);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      progress(`kernel limit ${path} stays at ${present}, ${wanted} is wanted: ${why}`);
    }
  }
}
