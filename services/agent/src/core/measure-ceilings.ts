/**
 * The ceilings of a host: limits of kernel and engine that end a host long before its memory does.
 *
 * What must stay true: a host refuses before the limit is hit. Part of each limit is kept back, and every job that
 * was accepted but had no container yet when the limits were read is counted as if it had one.
 */
import type { Ceiling, HostAlarm } from "@berth/shared/domain/placement.ts";

/** One network of ours on the engine. */
export interface NetworkReading {
  readonly name: string;
  /** Ports of its bridge: one per running container. */
  readonly portsCount: number;
  /** Addresses that its subnet has for containers. */
  readonly addressesCount: number;
  /** True when jobs of any environment join it; the subnet of an environment's own network binds no other. */
  readonly isShared: boolean;
}

/** What a limit was and what was used of it; null when it could not be read. */
export interface Reading {
  readonly limit: number;
  readonly used: number;
}

export interface KeysReading {
  readonly keys: Reading;
  readonly bytes: Reading;
}

export interface CeilingReadings {
  /** Before the networks were read: jobs that started later are not in it. */
  readonly atMs: number;
  /** Networks of the engine, ours and others; null when it did not tell. */
  readonly networksCount: number | null;
  readonly networks: readonly NetworkReading[] | null;
  readonly keys: KeysReading | null;
  /** Of the user who uses most. */
  readonly inotify: Reading | null;
  readonly pids: Reading | null;
}

/** Limits that are choices of the operator and not of the kernel. */
export interface CeilingLimits {
  readonly networksCount: number;
  /** A Linux bridge has 1023 ports and gets slow and unreliable just below. */
  readonly bridgePortsCount: number;
}

/** A container's session key ring is named `_ses.` and its 64 letters. */
const KEY_BYTES = 70;
/** A shim, an init, an app with a few workers; its own limit is many times that and never used by all at once. */
const PIDS_PER_JOB = 32;
/** Part of a limit that the system itself and a burst of restarts may need. */
const KEPT_BACK_SHARE = 0.05;
const KEPT_BACK_LEAST = 4;
/** From here on a ceiling is an alarm. */
const NEAR_SHARE = 0.8;

/** @param pendingCount jobs that hold resources and had no container when the readings were made */
export function measureCeilings(
  readings: CeilingReadings,
  limits: CeilingLimits,
  pendingCount: number,
): Ceiling[] {
  const { networksCount, networks, keys, inotify, pids } = readings;
  const found: (Ceiling | null)[] = [
    networksCount === null
      ? null
      : ceiling("networks", { limit: limits.networksCount, used: networksCount }, 1),
    networks === null ? null : addresses(networks),
    networks === null ? null : bridgePorts(networks, limits),
    keys === null ? null : ceiling("kernel-keys", keepBack(inKeys(keys)), 1),
    inotify === null ? null : ceiling("inotify-instances", keepBack(inotify), 1),
    pids === null ? null : ceiling("pids", keepBack(pids), PIDS_PER_JOB),
  ];
  return found
    .filter((one) => one !== null)
    .map((one) => ({ ...one, free: Math.max(0, one.free - pendingCount * one.perJob) }));
}

function ceiling(name: Ceiling["name"], { limit, used }: Reading, perJob: number): Ceiling {
  const total = Math.max(0, Math.floor(limit));
  return { name, total, free: Math.min(total, Math.max(0, Math.floor(limit - used))), perJob };
}

function keepBack({ limit, used }: Reading): Reading {
  return { limit: limit - Math.max(KEPT_BACK_LEAST, Math.ceil(limit * KEPT_BACK_SHARE)), used };
}

/** Of the networks that any job may join, the one with the fewest addresses left; null when there is none. */
function addresses(networks: readonly NetworkReading[]): Ceiling | null {
  const [fullest] = networks
    .filter(({ isShared }) => isShared)
    .sort((a, b) => a.addressesCount - a.portsCount - (b.addressesCount - b.portsCount));
  if (fullest === undefined) return null;
  return ceiling("addresses", { limit: fullest.addressesCount, used: fullest.portsCount }, 1);
}

function bridgePorts(networks: readonly NetworkReading[], limits: CeilingLimits): Ceiling {
  const used = Math.max(0, ...networks.map(({ portsCount }) => portsCount));
  return ceiling("bridge-ports", { limit: limits.bridgePortsCount, used }, 1);
}

/** The kernel counts keys and their bytes; whichever ends first is told, in keys. */
function inKeys({ keys, bytes }: KeysReading): Reading {
  const limit = Math.min(keys.limit, Math.floor(bytes.limit / KEY_BYTES));
  const left = Math.min(keys.limit - keys.used, Math.floor((bytes.limit - bytes.used) / KEY_BYTES));
  return { limit, used: Math.max(0, limit - left) };
}

/** What an operator should know before it is a refusal, and what could not be read and so protects nobody. */
export function ceilingAlarms(readings: CeilingReadings, ceilings: readonly Ceiling[]): HostAlarm[] {
  const near = ceilings
    .filter(({ total, free, perJob }) => total - free >= NEAR_SHARE * total || free < perJob)
    .map(({ name, total, free, perJob }): HostAlarm => {
      const code = free < perJob ? "ceiling-reached" : "ceiling-near";
      return { code, detail: `${name}: ${free} of ${total} left, a job takes ${perJob}` };
    });
  const unread = [
    readings.networksCount === null || readings.networks === null ? "networks" : null,
    readings.keys === null ? "kernel-keys" : null,
    readings.inotify === null ? "inotify-instances" : null,
    readings.pids === null ? "pids" : null,
  ].filter((name) => name !== null);
  if (unread.length === 0) return near;
  return [...near, { code: "ceiling-unread", detail: `could not be read: ${unread.join(", ")}` }];
}

/** `ip -o link`, as ports per bridge. */
export function countPorts(links: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const [, bridge = ""] of links.matchAll(/ master (\S+) /g))
    counts.set(bridge, (counts.get(bridge) ?? 0) + 1);
  return counts;
}

/** Addresses for containers in an IPv4 subnet: without its own, the broadcast's and the gateway's. */
export function countAddresses(subnet: string): number {
  const bits = Number(/^[\d.]+\/(\d{1,2})$/.exec(subnet)?.[1] ?? 32);
  return Math.max(0, 2 ** (32 - Math.min(32, bits)) - 3);
}
