/**
 * Where a process's cgroup keeps its counters, and what they say; of version 1 and of version 2. Pure.
 */

const ROOT = "/sys/fs/cgroup";

export interface CgroupFiles {
  readonly memory: string;
  readonly memoryLimit: string;
  readonly memoryStat: string;
  readonly cpu: string;
  readonly pids: string;
}

/**
 * @param text of `/proc/<pid>/cgroup`
 * @returns null when it names neither a version 2 cgroup nor the controllers of version 1
 */
export function cgroupFiles(text: string): CgroupFiles | null {
  const lines = text
    .split("\n")
    .map((line) => /^\d+:([^:]*):(\/.*)$/.exec(line))
    .filter((match) => match !== null);
  const pathOf = (controller: string) =>
    lines.find(([, controllers]) => controllers?.split(",").includes(controller))?.[2];
  const [memory, cpuacct, pids] = [pathOf("memory"), pathOf("cpuacct"), pathOf("pids")];
  if (memory !== undefined && cpuacct !== undefined && pids !== undefined) {
    return {
      memory: `${ROOT}/memory${memory}/memory.usage_in_bytes`,
      memoryLimit: `${ROOT}/memory${memory}/memory.limit_in_bytes`,
      memoryStat: `${ROOT}/memory${memory}/memory.stat`,
      cpu: `${ROOT}/cpuacct${cpuacct}/cpuacct.usage`,
      pids: `${ROOT}/pids${pids}/pids.current`,
    };
  }
  const unified = lines.find(([, controllers]) => controllers === "")?.[2];
  if (unified === undefined || unified === "/") return null;
  const folder = `${ROOT}${unified}`;
  return {
    memory: `${folder}/memory.current`,
    memoryLimit: `${folder}/memory.max`,
    memoryStat: `${folder}/memory.stat`,
    cpu: `${folder}/cpu.stat`,
    pids: `${folder}/pids.current`,
  };
}

/** What is used without the file cache that the kernel gives back at once. */
export function workingSetBytes(usage: string, stat: string): number {
  const inactive = /^(?:total_)?inactive_file (\d+)$/m;
  const cached = /^total_inactive_file (\d+)$/m.exec(stat) ?? inactive.exec(stat);
  return Math.max(0, Number(usage.trim()) - Number(cached?.[1] ?? 0));
}

/** @returns null for no limit, which version 1 writes as a huge number */
export function limitBytes(text: string): number | null {
  const value = Number(text.trim());
  return Number.isFinite(value) && value > 0 && value < 2 ** 60 ? value : null;
}

/** CPU time used since the cgroup was made, in microseconds. */
export function cpuMicroseconds(text: string): number {
  const unified = /^usage_usec (\d+)$/m.exec(text);
  return unified === null ? Number(text.trim()) / 1000 : Number(unified[1]);
}
