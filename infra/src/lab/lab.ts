/**
 * The lab: several real Docker hosts on one machine, made and driven from a test, a bench or the command line.
 *
 * A host is a network namespace, a mount and pid namespace, an own root file system and an own Docker Engine.
 * `labUp` makes what is missing and starts what is off, so it also mends a lab after a crash in its middle;
 * `labDown` removes all that the record names, and may be called at any time. What a host runs besides its
 * engine is decided by the caller through `boot`.
 */
import { existsSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensurePackages } from "../install/debian-packages.ts";
import { cacheDirOf } from "../pod/cache-dir.ts";
import type { CommandResult } from "./command.ts";
import {
  applyRoutes,
  enterHost,
  execInHost,
  type HostHandle,
  hostHandle,
  isRunning,
  killHost,
  makeFolders,
  removeHost,
  startHost,
} from "./host-control.ts";
import { dockerConfigDir, engineProgram } from "./host-engine.ts";
import { withLabLock } from "./lab-lock.ts";
import { hostNames, labNames } from "./lab-names.ts";
import {
  cutNetwork,
  ensureBridge,
  healNetwork,
  netnsMountExists,
  refuseTaken,
  removeBridge,
  removeNetnsMount,
} from "./lab-network.ts";
import {
  type Boot,
  type Cut,
  changeRecord,
  deleteRecord,
  findHost,
  type HostRecord,
  type LabRecord,
  labFolder,
  readRecord,
  writeRecord,
} from "./lab-record.ts";
import { ensureRootfs } from "./lab-rootfs.ts";
import { removeCgroup } from "./namespace-processes.ts";

export interface LabOptions {
  /** 1 to 9 hosts, called h1, h2, … */
  readonly hosts: number;
  readonly stateDir: string;
  /** 0 to 99: labs with different indexes run side by side (10.99.INDEX.0/24). Default 0. */
  readonly index?: number;
  /** Where the root file system is kept. Default `<stateDir>/cache`. */
  readonly cacheDir?: string;
  /** What a host runs. Default: a Docker Engine and nothing else. */
  readonly boot?: (host: BootSite) => Boot;
  /** Recorded, so that `lab down` knows that the control plane in this state folder is the lab's own. */
  readonly withPod?: boolean;
  /** Runs when the bridge is up and before the first host starts: for what listens on `machineAddress`. */
  readonly beforeHosts?: (machineAddress: string) => Promise<void>;
  /** Runs per host, before its start and also when it runs already; its folders exist. */
  readonly prepareHost?: (host: BootSite) => Promise<void>;
  readonly say?: (line: string) => void;
}

/** What the boot command of a host can be made of. All paths are valid inside and outside of the host. */
export interface BootSite {
  readonly name: string;
  readonly address: string;
  readonly machineAddress: string;
  readonly dockerSocket: string;
  readonly runDir: string;
  readonly sharedDir: string;
  readonly supervisorDir: string;
  /** The host's /etc/docker. */
  readonly dockerConfigDir: string;
  readonly cgroup: string;
}

export interface LabHost extends BootSite {
  /** The host's folder on the machine: disk, sockets, log. */
  readonly hostDir: string;
  isRunning(): boolean;
  /** Default `both`: the host neither hears nor is heard, and nothing tells it. */
  cut(direction?: Cut): Promise<void>;
  heal(): Promise<void>;
  /** SIGKILL to everything of the host at once; stays off until `start`. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** `kill`, then `start`: the disk stays, all that was in memory is gone. */
  powerCycle(): Promise<void>;
  exec(argv: readonly string[], timeoutMs?: number): Promise<CommandResult>;
  /** The command line that enters the host, for callers that want its standard input and output. */
  enter(): string[];
}

export interface Lab {
  readonly index: number;
  readonly stateDir: string;
  /** The machine's address as the hosts see it: the control plane listens here. */
  readonly machineAddress: string;
  readonly hosts: readonly LabHost[];
  host(name: string): LabHost;
  /** Tells all hosts where containers are (CIDR → host name), now and after every start. */
  route(routes: Readonly<Record<string, string>>): Promise<void>;
  down(): Promise<void>;
}

const neededPackages = ["mmdebstrap", "iproute2", "util-linux", "iptables"];
/** The checkout that this file is in; the hosts see it read-only at the same path. */
export const checkout = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
const maxHosts = 9;

/** @throws Error when a Debian package cannot be had, the index is taken, or a host's engine does not come up in time. */
export async function labUp(options: LabOptions): Promise<Lab> {
  const say = options.say ?? (() => undefined);
  if (!Number.isInteger(options.hosts) || options.hosts < 1 || options.hosts > maxHosts)
    throw new Error(`a lab has 1 to ${maxHosts} hosts, not ${options.hosts}`);
  await ensurePackages(neededPackages, say);
  return await withLabLock(options.stateDir, () => bringUp(options, say));
}

async function bringUp(options: LabOptions, say: (line: string) => void): Promise<Lab> {
  const rootfs = await ensureRootfs(sharedOr(options), say);
  const before = readRecord(options.stateDir);
  const record = desiredRecord(options, before, rootfs);
  refuseTaken(labNames(options.stateDir, record.index));
  await removeSurplus(options.stateDir, before, record, say);
  writeRecord(options.stateDir, record);

  const lab = labNames(options.stateDir, record.index);
  await ensureBridge(lab);
  await options.beforeHosts?.(lab.machineAddress);
  const handles = record.hosts.map((host) => hostHandle(options.stateDir, record, host));
  // One after the other, so that the hosts' container subnets come in the order of their names.
  for (const { names, record: host } of handles) {
    makeFolders(names);
    await options.prepareHost?.(bootSite(options.stateDir, record.index, host.number));
  }
  const startedAt = Date.now();
  say(`starting ${record.hosts.map((host) => host.name).join(", ")}`);
  await Promise.all(
    handles.map(async (handle) => {
      await startHost(handle);
      say(
        `${handle.record.name}: Docker Engine ready after ${((Date.now() - startedAt) / 1000).toFixed(1)} s`,
      );
    }),
  );
  return labOf(options.stateDir, record);
}

/** A cache that everything on this machine shares wins, so that it is made once. */
function sharedOr({ cacheDir, stateDir }: LabOptions): string {
  return process.env.BERTH_CACHE_DIR ?? cacheDir ?? cacheDirOf(stateDir);
}

/** @returns the lab that is recorded in this state folder, running or not; null when there is none. */
export function openLab(stateDir: string): Lab | null {
  const record = readRecord(stateDir);
  return record === null ? null : labOf(stateDir, record);
}

/**
 * Removes everything that the record names. Without a record there is nothing, and nothing is touched.
 * `removePod` is called when the lab has a control plane: after the hosts are gone, before the record is.
 */
export async function labDown(
  stateDir: string,
  say: (line: string) => void = () => undefined,
  removePod?: () => Promise<void>,
): Promise<void> {
  if (readRecord(stateDir) === null) return;
  await withLabLock(stateDir, () => takeDown(stateDir, say, removePod));
}

async function takeDown(
  stateDir: string,
  say: (line: string) => void,
  removePod?: () => Promise<void>,
): Promise<void> {
  const record = readRecord(stateDir);
  if (record === null) return;
  const names = labNames(stateDir, record.index);
  refuseTaken(names);
  for (const host of record.hosts) {
    say(`${host.name}: removing`);
    await removeHost(hostHandle(stateDir, record, host));
  }
  if (record.withPod) await removePod?.();
  await removeBridge(names);
  removeCgroup(names.cgroup);
  if (record.madeNetnsMount) await removeNetnsMount();
  deleteRecord(stateDir);
  rmSync(labFolder(stateDir), { recursive: true, force: true });
}

function desiredRecord(options: LabOptions, before: LabRecord | null, rootfs: string): LabRecord {
  const index = options.index ?? before?.index ?? 0;
  const hosts = Array.from({ length: options.hosts }, (_, i): HostRecord => {
    const number = i + 1;
    const site = bootSite(options.stateDir, index, number);
    const cut = before?.hosts.find((host) => host.number === number)?.cut ?? null;
    return { name: site.name, number, boot: (options.boot ?? engineOnly)(site), cut };
  });
  const routes = Object.entries(before?.routes ?? {}).filter(([, owner]) =>
    hosts.some((host) => host.name === owner),
  );
  const madeNetnsMount = before?.madeNetnsMount ?? !netnsMountExists();
  const withPod = options.withPod ?? before?.withPod ?? false;
  return {
    version: 1,
    ...{ index, rootfs, checkout, madeNetnsMount, withPod, hosts },
    routes: Object.fromEntries(routes),
  };
}

/** Hosts of an earlier, larger lab, or the whole of one with another index. */
async function removeSurplus(
  stateDir: string,
  before: LabRecord | null,
  record: LabRecord,
  say: (line: string) => void,
): Promise<void> {
  if (before === null) return;
  if (before.index !== record.index) return await takeDown(stateDir, say);
  for (const host of before.hosts.filter((old) => !record.hosts.some((one) => one.name === old.name))) {
    say(`${host.name}: removing, the lab now has ${record.hosts.length} hosts`);
    await removeHost(hostHandle(stateDir, before, host));
  }
}

/** A Docker Engine alone. All its settings are in /etc/docker/daemon.json, see host-engine.ts. */
function engineOnly(): Boot {
  return { argv: [engineProgram], env: {} };
}

function bootSite(stateDir: string, index: number, number: number): BootSite {
  const names = hostNames(stateDir, index, number);
  const { address, dockerSocket, runDir, sharedDir, supervisorDir, cgroup } = names;
  return {
    name: `h${number}`,
    machineAddress: labNames(stateDir, index).machineAddress,
    dockerConfigDir: dockerConfigDir(names),
    ...{ address, dockerSocket, runDir, sharedDir, supervisorDir, cgroup },
  };
}

function labOf(stateDir: string, record: LabRecord): Lab {
  const hosts = record.hosts.map((host) => labHost(stateDir, record.index, host));
  return {
    index: record.index,
    stateDir,
    machineAddress: labNames(stateDir, record.index).machineAddress,
    hosts,
    host: (name) => {
      findHost(record, name);
      return hosts.find((host) => host.name === name) as LabHost;
    },
    route: async (routes) => {
      const changed = changeRecord(stateDir, (now) => ({ ...now, routes: { ...now.routes, ...routes } }));
      const handles = changed.hosts.map((host) => hostHandle(stateDir, changed, host));
      await Promise.all(handles.filter((host) => isRunning(host.names)).map(applyRoutes));
    },
    down: () => labDown(stateDir),
  };
}

function labHost(stateDir: string, index: number, { name, number }: HostRecord): LabHost {
  const names = hostNames(stateDir, index, number);
  // Read again at each use: routes and cuts change while the lab lives.
  const handle = (): HostHandle => {
    const whole = changeRecord(stateDir, (now) => now);
    return hostHandle(stateDir, whole, findHost(whole, name));
  };
  const recordCut = (cut: Cut | null): void => {
    changeRecord(stateDir, (now) => ({
      ...now,
      hosts: now.hosts.map((host) => (host.name === name ? { ...host, cut } : host)),
    }));
  };
  return {
    ...bootSite(stateDir, index, number),
    hostDir: names.hostDir,
    isRunning: () => isRunning(names),
    cut: async (direction = "both") => {
      recordCut(direction);
      if (existsSync(names.netnsPath)) await cutNetwork(names, handle().whole.rootfs, direction);
    },
    heal: async () => {
      recordCut(null);
      if (existsSync(names.netnsPath)) await healNetwork(names, handle().whole.rootfs);
    },
    kill: () => killHost(handle()),
    start: () => startHost(handle()),
    powerCycle: async () => {
      await killHost(handle());
      await startHost(handle());
    },
    exec: (argv, timeoutMs) => execInHost(handle(), argv, timeoutMs),
    enter: () => enterHost(handle()),
  };
}
