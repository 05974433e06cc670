/**
 * Reads the kernel's limits and what is used of them, cheaply: a handful of small files and one run of `ip`.
 *
 * What cannot be read is null, which the host's alarms tell; it is never taken for "nothing used".
 */
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import {
  countAddresses,
  countPorts,
  type KeysReading,
  type NetworkReading,
  type Reading,
} from "../core/measure-ceilings.ts";
import type { EngineNetwork } from "./docker.ts";
import { runCommand } from "./run-command.ts";

/** Links of a host with the most containers that an engine runs: a line has about 300 letters. */
const LINKS_BYTES = 4 * 1024 ** 2;
const MOST_PROCESSES = 20_000;

/** @param prefix put before `ip`, for an engine in another network namespace */
export async function readNetworks(
  networks: readonly EngineNetwork[],
  prefix: readonly string[],
): Promise<NetworkReading[]> {
  const links = await runCommand([...prefix, "ip", "-o", "link", "show"], { maxOutputBytes: LINKS_BYTES });
  const ports = countPorts(links);
  return networks
    .filter(({ labels }) => labels["berth.network"] !== undefined)
    .map(({ name, bridge, subnet, labels }) => ({
      name,
      portsCount: ports.get(bridge) ?? 0,
      addressesCount: countAddresses(subnet),
      isShared: labels["berth.environment"] === undefined,
    }));
}

/** @param uid the user that containers' processes begin as: root, or the first of the engine's user namespace */
export async function readKeys(uid: number): Promise<KeysReading> {
  const prefix = uid === 0 ? "root_" : "";
  const [maxKeys, maxBytes, users] = await Promise.all([
    readNumber(`/proc/sys/kernel/keys/${prefix}maxkeys`),
    readNumber(`/proc/sys/kernel/keys/${prefix}maxbytes`),
    readFile("/proc/key-users", "utf8"),
  ]);
  // "    0:    11 10/10 5/1000000 113/25000000": uses, keys / instantiated, quota of keys, quota of bytes.
  const line = new RegExp(`^\\s*${uid}:\\s+\\d+\\s+\\d+/\\d+\\s+(\\d+)/\\d+\\s+(\\d+)/\\d+`, "m").exec(users);
  return {
    keys: { limit: maxKeys, used: Number(line?.[1] ?? 0) },
    bytes: { limit: maxBytes, used: Number(line?.[2] ?? 0) },
  };
}

/**
 * Inotify instances of the user who has most. The kernel has no counter that can be read, so every process's open
 * files are looked at: tens of milliseconds on a full host, to be called once a minute.
 */
export async function readInotify(): Promise<Reading> {
  const limit = await readNumber("/proc/sys/fs/inotify/max_user_instances");
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).slice(0, MOST_PROCESSES);
  const byUser = new Map<number, number>();
  for (const pid of pids) {
    const count = await countInotify(pid);
    if (count === 0) continue;
    const uid = (await stat(`/proc/${pid}`).catch(() => null))?.uid ?? 0;
    byUser.set(uid, (byUser.get(uid) ?? 0) + count);
  }
  return { limit, used: Math.max(0, ...byUser.values()) };
}

/** A process that ended meanwhile has none. */
async function countInotify(pid: string): Promise<number> {
  const folder = `/proc/${pid}/fd`;
  const files = await readdir(folder).catch(() => []);
  const targets = await Promise.all(files.map((file) => readlink(`${folder}/${file}`).catch(() => "")));
  return targets.filter((target) => target === "anon_inode:inotify").length;
}

/** The nearest of: process ids, threads, and the control groups around the jobs. */
export async function readPids(cgroupParent: string): Promise<Reading> {
  const [pidMax, threadsMax, load] = await Promise.all([
    readNumber("/proc/sys/kernel/pid_max"),
    readNumber("/proc/sys/kernel/threads-max"),
    readFile("/proc/loadavg", "utf8"),
  ]);
  const used = Number(/ \d+\/(\d+) /.exec(load)?.[1] ?? Number.NaN);
  if (!Number.isFinite(used)) throw new Error("/proc/loadavg does not tell the number of threads");
  const parent = cgroupParent.replace(/^\/+|\/+$/g, "");
  const folders = ["", `/${parent}`].flatMap((path) => [
    `/sys/fs/cgroup${path}`,
    `/sys/fs/cgroup/pids${path}`,
  ]);
  const groups = await Promise.all(folders.map(readCgroup));
  const readings = [{ limit: Math.min(pidMax, threadsMax), used }, ...groups.filter((one) => one !== null)];
  return readings.reduce((a, b) => (b.limit - b.used < a.limit - a.used ? b : a));
}

async function readCgroup(folder: string): Promise<Reading | null> {
  const [limit, used] = await Promise.all(
    ["pids.max", "pids.current"].map((name) => readNumber(`${folder}/${name}`).catch(() => Number.NaN)),
  );
  const isLimited = limit !== undefined && used !== undefined && Number.isFinite(limit + used);
  return isLimited ? { limit, used } : null;
}

/** @throws Error that names the file when it holds no number, such as `max` */
async function readNumber(path: string): Promise<number> {
  const text = (await readFile(path, "utf8")).trim();
  const value = Number(text);
  if (text === "" || !Number.isFinite(value)) throw new Error(`${path} holds ${text}, not a number`);
  return value;
}
