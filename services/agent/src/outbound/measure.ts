/** Measures the host: memory, disk, boot id; and what the machine calls itself. */
import { readFile, statfs } from "node:fs/promises";
import { hostname, networkInterfaces } from "node:os";

export async function bootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}

export interface DiskSpace {
  readonly totalBytes: number;
  readonly freeBytes: number;
}

/** Free is what is left for ordinary users: the file system keeps some for root. */
export async function diskSpace(folder: string): Promise<DiskSpace> {
  const { blocks, bavail, bsize } = await statfs(folder);
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
}

const LIMIT_FILES = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/** The memory limit of the agent's own machine or container; null when there is none. */
export async function cgroupLimitBytes(): Promise<number | null> {
  for (const file of LIMIT_FILES) {
    const text = await readFile(file, "utf8").catch(() => "");
    const value = Number(text.trim());
    if (Number.isFinite(value) && value > 0 && value < 2 ** 60) return value;
  }
  return null;
}

/** Name and addresses of the machine, for people. */
export function machineName(): string {
  const addresses = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ family, internal }) => family === "IPv4" && !internal)
    .map(({ address }) => address);
  return `${hostname()} ${addresses.slice(0, 6).join(" ")}`.trim().slice(0, 200);
}
