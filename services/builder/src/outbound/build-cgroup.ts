/**
 * Limits on memory, CPU and processes of Dockerfile builds, and their weights.
 *
 * BuildKit has no limits of its own, so they are set on a control group around it. Engines from version 23 on
 * take a group per build (`--cgroup-parent`). Older ones ignore that option and run every step below one fixed
 * group, `<engine's parent>/buildkit`: the limits go there, and Dockerfile builds then run one at a time, so that
 * the group's limit is the build's limit. Both control group versions are served; the engine must be on this
 * machine and use the `cgroupfs` driver.
 */
import { existsSync } from "node:fs";
import { mkdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BUILD_CPU_SHARES, BUILD_CPU_WEIGHT, BUILD_IO_WEIGHT } from "../core/build-weight.ts";

export interface CgroupLimits {
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly pids: number;
}

const ROOT = "/sys/fs/cgroup";
const PERIOD_US = 100_000;

/**
 * Makes the group if it is missing and sets its limits, and its weights where the kernel takes them.
 * @param group path below the root, such as `/docker/buildkit`
 * @returns false when this machine does not let us: the caller says so to the operator
 */
export async function limitCgroup(group: string, limits: CgroupLimits): Promise<boolean> {
  const quotaUs = String(Math.round(limits.cpus * PERIOD_US));
  try {
    if (existsSync(join(ROOT, "cgroup.controllers"))) {
      await write(join(ROOT, group), "memory.max", String(limits.memoryBytes));
      await write(join(ROOT, group), "pids.max", String(limits.pids));
      await write(join(ROOT, group), "cpu.max", `${quotaUs} ${String(PERIOD_US)}`);
      await write(join(ROOT, group), "cpu.weight", String(BUILD_CPU_WEIGHT));
      await weighIo(join(ROOT, group), ["io.bfq.weight", "io.weight"]);
      return true;
    }
    await write(join(ROOT, "memory", group), "memory.limit_in_bytes", String(limits.memoryBytes));
    await write(join(ROOT, "pids", group), "pids.max", String(limits.pids));
    await write(join(ROOT, "cpu", group), "cpu.cfs_period_us", String(PERIOD_US));
    await write(join(ROOT, "cpu", group), "cpu.cfs_quota_us", quotaUs);
    await write(join(ROOT, "cpu", group), "cpu.shares", String(BUILD_CPU_SHARES));
    await weighIo(join(ROOT, "blkio", group), ["blkio.bfq.weight"]);
    return true;
  } catch {
    return false;
  }
}

/** How often the group met its memory limit; a change during a killed build means "out of memory". */
export async function countMemoryHits(group: string): Promise<number> {
  try {
    if (existsSync(join(ROOT, "cgroup.controllers"))) {
      const events = await readFile(join(ROOT, group, "memory.events"), "utf8");
      return Number(/^oom (\d+)$/m.exec(events)?.[1] ?? 0);
    }
    return Number(await readFile(join(ROOT, "memory", group, "memory.failcnt"), "utf8"));
  } catch {
    return 0;
  }
}

/** Removes a group made for one build; it is empty once the build has ended. */
export async function removeCgroup(group: string): Promise<void> {
  const parents = existsSync(join(ROOT, "cgroup.controllers")) ? [""] : ["memory", "pids", "cpu", "blkio"];
  for (const parent of parents) await rmdir(join(ROOT, parent, group)).catch(() => undefined);
}

/** Which of these files there are depends on the kernel and on its disks. */
async function weighIo(dir: string, files: readonly string[]): Promise<void> {
  for (const file of files) await write(dir, file, String(BUILD_IO_WEIGHT)).catch(() => undefined);
}

async function write(dir: string, file: string, value: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, file), value);
}
