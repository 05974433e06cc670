/** Reads what a container uses from its cgroup's files: no call to the engine, no waiting. */
import { readFile } from "node:fs/promises";
import {
  type CgroupFiles,
  cgroupFiles,
  cpuMicroseconds,
  limitBytes,
  workingSetBytes,
} from "../core/cgroup-files.ts";

export interface CgroupUsage {
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number | null;
  readonly processesCount: number;
}

/** @returns null when the process is gone or its cgroup cannot be seen from here */
export async function filesOf(pid: number): Promise<CgroupFiles | null> {
  const text = await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => "");
  return cgroupFiles(text);
}

/** @returns null when the cgroup is gone */
export async function readUsage(files: CgroupFiles): Promise<CgroupUsage | null> {
  try {
    const [usage, limit, stat, pids] = await Promise.all(
      [files.memory, files.memoryLimit, files.memoryStat, files.pids].map((file) => readFile(file, "utf8")),
    );
    return {
      memoryBytes: workingSetBytes(usage ?? "", stat ?? ""),
      memoryLimitBytes: limitBytes(limit ?? ""),
      processesCount: Number((pids ?? "").trim()),
    };
  } catch {
    return null;
  }
}

export async function readCpu(files: CgroupFiles): Promise<number | null> {
  const text = await readFile(files.cpu, "utf8").catch(() => null);
  return text === null ? null : cpuMicroseconds(text);
}
