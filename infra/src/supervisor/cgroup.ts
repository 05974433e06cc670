/**
 * Limits of memory, CPU and pids for a supervised process, on cgroup v1 and v2.
 *
 * A limit that cannot be set is an error, not a silence: a builder without its memory limit can stop the machine.
 */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { z } from "zod";
import type { CgroupLimits } from "./process-spec.ts";

const root = "/sys/fs/cgroup";
const cpuPeriodUs = 100_000;

type Limits = z.infer<typeof CgroupLimits>;
type Write = { readonly controller: string; readonly file: string; readonly value: string };

/** Which control files get which values. Pure. */
export function cgroupWrites(limits: Limits, version: 1 | 2): readonly Write[] {
  const quotaUs = limits.cpus === undefined ? null : Math.round(limits.cpus * cpuPeriodUs);
  const writes: Write[] = [];
  const add = (controller: string, file: string, value: string): void =>
    void writes.push({ controller, file, value });
  if (limits.memoryBytes !== undefined) {
    add("memory", version === 2 ? "memory.max" : "memory.limit_in_bytes", String(limits.memoryBytes));
  }
  if (quotaUs !== null && version === 2) add("cpu", "cpu.max", `${quotaUs} ${cpuPeriodUs}`);
  if (quotaUs !== null && version === 1) {
    add("cpu", "cpu.cfs_period_us", String(cpuPeriodUs));
    add("cpu", "cpu.cfs_quota_us", String(quotaUs));
  }
  if (limits.pids !== undefined) add("pids", "pids.max", String(limits.pids));
  return writes;
}

/** Puts `pid` into its own group with these limits. @throws Error that names the control file. */
export function limitProcess(name: string, pid: number, limits: Limits): void {
  const version = existsSync(join(root, "cgroup.controllers")) ? 2 : 1;
  const folders = new Set<string>();
  for (const { controller, file, value } of cgroupWrites(limits, version)) {
    const folder = join(version === 2 ? root : join(root, controller), "berth", name);
    mkdirSync(folder, { recursive: true });
    if (version === 2) enableController(controller);
    writeFileSync(join(folder, file), value);
    folders.add(folder);
  }
  for (const folder of folders) writeFileSync(join(folder, "cgroup.procs"), String(pid));
}

function enableController(controller: string): void {
  writeFileSync(join(root, "cgroup.subtree_control"), `+${controller}`);
  writeFileSync(join(root, "berth", "cgroup.subtree_control"), `+${controller}`);
}

/** Removes the empty groups of a process that ended. Best effort: a busy group is reused at the next start. */
export function removeCgroups(name: string): void {
  for (const parent of [root, join(root, "memory"), join(root, "cpu"), join(root, "pids")]) {
    try {
      rmdirSync(join(parent, "berth", name));
    } catch {
      // not there, or still in use
    }
  }
}
