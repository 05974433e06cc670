/**
 * Limits of the kernel that a host with many containers meets long before its memory ends: key rings and inotify
 * instances are counted per user, and all containers of a user namespace share one. Raised, never lowered.
 */
import { readFile, writeFile } from "node:fs/promises";
import type { Progress } from "../progress.ts";

const atLeast: Readonly<Record<string, number>> = {
  "/proc/sys/kernel/keys/maxkeys": 20_000,
  "/proc/sys/kernel/keys/maxbytes": 2_000_000,
  "/proc/sys/fs/inotify/max_user_instances": 8192,
  "/proc/sys/fs/inotify/max_user_watches": 524_288,
  "/proc/sys/net/ipv4/ip_forward": 1,
};

/** What cannot be raised is told, not fatal: a small host works without. */
export async function raiseKernelLimits(progress: Progress): Promise<void> {
  for (const [path, wanted] of Object.entries(atLeast)) {
    try {
      const present = Number((await readFile(path, "utf8")).trim());
      if (present < wanted) await writeFile(path, String(wanted));
    } catch (error) {
      progress(`kernel limit ${path} could not be raised to ${wanted}: ${String(error)}`);
    }
  }
}
