/**
 * The processes of a lab host: found by its network namespace, ended all at once.
 *
 * A host's first process is pid 1 of an own pid namespace, so its end is a power cut: the kernel ends everything
 * below it, containers included, without a word to anyone. What must stay true: only processes inside a
 * namespace that the lab made are ever signalled; the machine's own namespace is refused.
 */
import { readdirSync, readFileSync, readlinkSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const cgroupRoot = "/sys/fs/cgroup";
const askEveryMs = 20;

/** @returns the machine's pids of all processes in this network namespace; none when there is no namespace. */
export function pidsInNetns(netnsPath: string): number[] {
  const inode = inodeOf(netnsPath);
  if (inode === null) return [];
  const wanted = `net:[${inode}]`;
  if (readlinkSync("/proc/self/ns/net") === wanted)
    throw new Error(`${netnsPath} is the namespace that this process itself is in: refused`);
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number)
    .filter((pid) => netnsOf(pid) === wanted);
}

/** @returns the host's first process, or null when the host is not running. */
export function readInitPid(initPidPath: string, netnsPath: string): number | null {
  let pid: number;
  try {
    pid = Number(readFileSync(initPidPath, "utf8"));
  } catch {
    return null;
  }
  const inode = inodeOf(netnsPath);
  // The number may long belong to somebody else: the namespace decides.
  return Number.isInteger(pid) && pid > 1 && inode !== null && netnsOf(pid) === `net:[${inode}]` ? pid : null;
}

/**
 * Ends every process of a host, containers included.
 * @throws Error with what is left when they have not all gone at the deadline.
 */
export async function killHostProcesses(
  host: { readonly netnsPath: string; readonly initPidPath: string; readonly cgroup: string },
  timeoutMs: number,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  const init = readInitPid(host.initPidPath, host.netnsPath);
  if (init !== null) signal(init);
  for (;;) {
    const left = [...pidsInNetns(host.netnsPath), ...pidsInCgroup(host.cgroup)];
    if (left.length === 0) return;
    if (Date.now() > deadline)
      throw new Error(`${left.length} processes live on ${timeoutMs} ms after SIGKILL: ${left.join(", ")}`);
    for (const pid of left) signal(pid);
    // A frozen container takes no signal before it is thawed.
    thaw(host.cgroup);
    await delay(askEveryMs);
  }
}

function signal(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Every folder of this control group, in every hierarchy (version 1 has one per controller), children first. */
function cgroupFolders(cgroup: string): string[] {
  const hierarchies = [cgroupRoot, ...listFolders(cgroupRoot).map((name) => join(cgroupRoot, name))];
  return hierarchies.flatMap((hierarchy) => foldersBelow(join(hierarchy, cgroup)));
}

function foldersBelow(path: string): string[] {
  if (inodeOf(path) === null) return [];
  return [...listFolders(path).flatMap((name) => foldersBelow(join(path, name))), path];
}

function pidsInCgroup(cgroup: string): number[] {
  const pids = cgroupFolders(cgroup).flatMap((folder) => readWords(join(folder, "cgroup.procs")));
  return [...new Set(pids.map(Number))].filter((pid) => pid > 1);
}

function thaw(cgroup: string): void {
  for (const folder of cgroupFolders(cgroup)) {
    for (const [file, word] of [
      ["freezer.state", "THAWED"],
      ["cgroup.freeze", "0"],
    ] as const) {
      try {
        if (inodeOf(join(folder, file)) !== null) writeFileSync(join(folder, file), word);
      } catch {
        // The group ended in between.
      }
    }
  }
}

/** Removes the empty folders of a control group. The kernel refuses one that still has processes. */
export function removeCgroup(cgroup: string): void {
  for (const folder of cgroupFolders(cgroup)) {
    try {
      rmdirSync(folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
}

function netnsOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return null;
  }
}

function inodeOf(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.ino ?? null;
}

function listFolders(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return [];
  }
}

function readWords(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split(/\s+/).filter(Boolean);
  } catch {
    return [];
  }
}
