/**
 * The words of the auction and the scoring function, used by the agent to bid and by the scheduler to
 * simulate the rest of a batch on the same host.
 *
 * First every host is kept or refused with a code; then a kept host gets Σ weight · score, where every
 * score is in [0, 1] and higher is better.
 */
import { z } from "zod";
import { assert } from "./assert.ts";
import { HostId, JobId, OrgId, ServiceId } from "./ids.ts";
import type { Resources as ResourcesType } from "./resources.ts";
import { formatBytes, Resources } from "./resources.ts";

/** What a job asks of its host besides resources. Everything here is a must, but `nearServiceId`. */
export const Constraints = z.strictObject({
  /** Labels that the host must have, with these values. */
  labels: z.record(z.string().max(63), z.string().max(63)).default({}),
  runtime: z.string().max(40).default("runc"),
  /** The host must hold this volume. */
  volumeId: z.string().max(64).nullable().default(null),
  /** Never two instances of one process of the service on one host: for members of a cluster. */
  apart: z.boolean().default(false),
  /** A service next to which it is preferred, such as an app's cache. */
  nearServiceId: ServiceId.nullable().default(null),
});
export type Constraints = z.infer<typeof Constraints>;

export const NO_CONSTRAINTS: Constraints = Constraints.parse({});

/** What is auctioned: one job's needs. */
export const Lot = z.strictObject({
  jobId: JobId,
  orgId: OrgId,
  serviceId: ServiceId,
  process: z.string(),
  resources: Resources,
  imageDigest: z.string(),
  imageBytes: z.number().min(0),
  constraints: Constraints,
  /** The job that holds the lot's slot until this one takes over: where it is, and what it runs. */
  former: z
    .strictObject({
      hostId: HostId,
      imageDigest: z.string(),
      /** By the record, of the service on that host, it included: the host's own word may be seconds old. */
      instancesCount: z.int().min(1),
    })
    .optional(),
});
export type Lot = z.infer<typeof Lot>;

/**
 * A limit of the kernel or the engine that is hit long before memory ends: networks, container addresses, bridge
 * ports, kernel keys, inotify instances, pids. A host stops bidding while `free` is below `perJob`, before the
 * limit is hit.
 */
export const Ceiling = z.strictObject({
  name: z.enum(["networks", "addresses", "bridge-ports", "kernel-keys", "inotify-instances", "pids"]),
  total: z.int().min(0),
  free: z.int().min(0),
  perJob: z.int().min(0),
});
export type Ceiling = z.infer<typeof Ceiling>;

/** What an operator must look at on a host before it becomes a refusal, such as `disk-filling`. */
export const HostAlarm = z.strictObject({ code: z.string().max(60), detail: z.string().max(200) });
export type HostAlarm = z.infer<typeof HostAlarm>;

/** A host's state, carried by every heartbeat: a standing bid. */
export const HostState = z.strictObject({
  hostId: HostId,
  name: z.string().max(64),
  zone: z.string().max(64),
  memoryTotalBytes: z.number().min(0),
  memoryFreeBytes: z.number().min(0),
  diskTotalBytes: z.number().min(0),
  diskFreeBytes: z.number().min(0),
  cpuTotalMillis: z.number().min(0),
  /** Shares not yet promised; CPU may be promised several times over, so this may exceed what is idle. */
  cpuFreeMillis: z.number().min(0).default(256_000),
  ceilings: z.array(Ceiling).max(20).default([]),
  /** Container runtimes that the engine has, such as `runc` and `runsc`. */
  runtimes: z.array(z.string().max(40)).max(20).default(["runc"]),
  /** Volumes that lie on this host. */
  volumes: z.array(z.string().max(64)).max(5000).default([]),
  jobSlotsTotal: z.int().min(0),
  jobSlotsFree: z.int().min(0),
  /** Jobs between award and ready. */
  startingCount: z.int().min(0),
  /** Instances per service on this host, counted in any state that holds resources. */
  instancesByService: z.record(z.string(), z.int().min(0)),
  /** Digests of the images that are complete on this host. */
  imageDigests: z.array(z.string()).max(1000),
  cordoned: z.boolean(),
  /** Reasons why this host takes no work now, such as `engine-unreachable`. */
  unavailable: z.array(z.string()).max(20),
  alarms: z.array(HostAlarm).max(20).default([]),
});
export type HostState = z.infer<typeof HostState>;

export const RefusalCode = z.enum([
  "not-enough-memory",
  "not-enough-disk",
  "not-enough-cpu",
  "no-job-slot",
  "ceiling-networks",
  "ceiling-addresses",
  "ceiling-bridge-ports",
  "ceiling-kernel-keys",
  "ceiling-inotify-instances",
  "ceiling-pids",
  "label-missing",
  "runtime-missing",
  "volume-elsewhere",
  "must-be-apart",
  "dedicated-to-another-org",
  "other-pod",
  "identity-cloned",
  "draining",
  "cordoned",
  "engine-unreachable",
  "edge-unreachable",
  "image-store-full",
  "host-silent",
  "bid-stale",
  "declined",
  "no-answer",
]);
export type RefusalCode = z.infer<typeof RefusalCode>;

export const Refusal = z.strictObject({ code: RefusalCode, detail: z.string().max(300) });
export type Refusal = z.infer<typeof Refusal>;

/** Weights of the scores; each ≥ 0. Spreading over zones, then over hosts, dominates by size. */
export interface ScoreWeights {
  readonly freeMemory: number;
  readonly freeDisk: number;
  readonly notStarting: number;
  readonly fewSameService: number;
  readonly imagePresent: number;
  /** Used memory instead of free memory: fills one host before the next. */
  readonly fullMemory: number;
  readonly near: number;
  readonly zoneBalance: number;
}

/** Above this many the terms for starting jobs and for equal instances are 0. */
const MOST_STARTING = 20;
const MOST_SAME = 250;

/** Of an image whose layers are mostly there, because the former release's image is. */
const LAYERS_PRESENT = 0.75;

/**
 * Worst fit: work goes where most is free, and back to where it is unless another host has 0.4 of its memory more free:
 * there is the image, which elsewhere would be pulled first. One more starting job costs 0.25, one more instance of the same service
 * 10, which is more than all else together, and a zone that has not the fewest instances 10,000.
 */
export const DEFAULT_WEIGHTS: ScoreWeights = {
  freeMemory: 1,
  freeDisk: 0.3,
  notStarting: 5,
  fewSameService: 2500,
  imagePresent: 0.4,
  fullMemory: 0,
  near: 0.6,
  zoneBalance: 10_000,
};

/** Fills hosts one after another, for pods that pay per host; instances of one service still spread. */
export const BINPACK_WEIGHTS: ScoreWeights = {
  ...DEFAULT_WEIGHTS,
  freeMemory: 0,
  freeDisk: 0,
  fullMemory: 6,
  notStarting: 1,
};

export const ScoreTerms = z.strictObject({
  freeMemory: z.number(),
  freeDisk: z.number(),
  notStarting: z.number(),
  fewSameService: z.number(),
  imagePresent: z.number(),
  fullMemory: z.number().default(0),
  near: z.number().default(0),
  zoneBalance: z.number().default(0),
});
export type ScoreTerms = z.infer<typeof ScoreTerms>;

/** @returns the reason why `host` cannot take `lot`, or null when it can. Memory is never over-committed. */
export function refuse(host: HostState, lot: Lot): Refusal | null {
  if (host.cordoned) return { code: "cordoned", detail: "an operator cordoned this host" };
  if (host.unavailable.length > 0) {
    const unavailable = RefusalCode.safeParse(host.unavailable[0]);
    return {
      code: unavailable.success ? unavailable.data : "engine-unreachable",
      detail: host.unavailable.join(", "),
    };
  }
  return refuseForCapacity(host, lot.resources) ?? refuseForCeilings(host) ?? refuseForConstraints(host, lot);
}

function refuseForCapacity(host: HostState, needs: ResourcesType): Refusal | null {
  if (needs.memoryBytes > host.memoryFreeBytes) {
    return {
      code: "not-enough-memory",
      detail: `needs ${formatBytes(needs.memoryBytes)}, free ${formatBytes(host.memoryFreeBytes)} of ${formatBytes(host.memoryTotalBytes)}`,
    };
  }
  if (needs.diskBytes > host.diskFreeBytes) {
    return {
      code: "not-enough-disk",
      detail: `needs ${formatBytes(needs.diskBytes)}, free ${formatBytes(host.diskFreeBytes)} of ${formatBytes(host.diskTotalBytes)}`,
    };
  }
  if (needs.cpuMillis > host.cpuFreeMillis) {
    return {
      code: "not-enough-cpu",
      detail: `needs ${needs.cpuMillis} mCPU, unpromised ${host.cpuFreeMillis}`,
    };
  }
  if (host.jobSlotsFree < 1)
    return { code: "no-job-slot", detail: `all ${host.jobSlotsTotal} job slots are taken` };
  return null;
}

function refuseForCeilings(host: HostState): Refusal | null {
  const hit = host.ceilings.find((ceiling) => ceiling.free < ceiling.perJob);
  if (hit === undefined) return null;
  return {
    code: `ceiling-${hit.name}`,
    detail: `${hit.name}: ${hit.free} of ${hit.total} left, a job takes ${hit.perJob}`,
  };
}

function refuseForConstraints(host: HostState, lot: Lot): Refusal | null {
  const { runtime, volumeId, apart } = lot.constraints;
  if (!host.runtimes.includes(runtime)) {
    return {
      code: "runtime-missing",
      detail: `needs ${runtime}, the engine has ${host.runtimes.join(", ")}`,
    };
  }
  if (volumeId !== null && !host.volumes.includes(volumeId)) {
    return { code: "volume-elsewhere", detail: `volume ${volumeId} is not on this host` };
  }
  if (apart && (host.instancesByService[lot.serviceId] ?? 0) > 0) {
    return { code: "must-be-apart", detail: "another instance of the service is here" };
  }
  return null;
}

/** @param zoneHasFewest whether no other zone has fewer instances of the lot's service */
export function scoreTerms(host: HostState, lot: Lot, zoneHasFewest = true): ScoreTerms {
  assert(host.memoryTotalBytes > 0 && host.diskTotalBytes > 0, `host ${host.hostId} has no memory or disk`);
  const takesOver = lot.former?.hostId === host.hostId;
  const same = host.instancesByService[lot.serviceId] ?? 0;
  const near = lot.constraints.nearServiceId;
  // What it replaces leaves, and is taken to be as large as itself.
  const [memoryBytes, diskBytes] = takesOver ? [0, 0] : [lot.resources.memoryBytes, lot.resources.diskBytes];
  const freeMemory = share(host.memoryFreeBytes - memoryBytes, host.memoryTotalBytes);
  return {
    freeMemory,
    freeDisk: share(host.diskFreeBytes - diskBytes, host.diskTotalBytes),
    notStarting: 1 - share(host.startingCount, MOST_STARTING),
    fewSameService: 1 - share(same, MOST_SAME),
    imagePresent: imagePresent(host, lot),
    fullMemory: 1 - freeMemory,
    near: near !== null && (host.instancesByService[near] ?? 0) > 0 ? 1 : 0,
    zoneBalance: zoneHasFewest ? 1 : 0,
  };
}

function imagePresent({ imageDigests }: HostState, { imageDigest, former }: Lot): number {
  if (imageDigests.includes(imageDigest)) return 1;
  return former !== undefined && imageDigests.includes(former.imageDigest) ? LAYERS_PRESENT : 0;
}

function share(part: number, whole: number): number {
  return Math.min(1, Math.max(0, part / whole));
}

/** Σ weight · term. */
export function totalScore(terms: ScoreTerms, weights: ScoreWeights): number {
  return (
    weights.freeMemory * terms.freeMemory +
    weights.freeDisk * terms.freeDisk +
    weights.notStarting * terms.notStarting +
    weights.fewSameService * terms.fewSameService +
    weights.imagePresent * terms.imagePresent +
    weights.fullMemory * terms.fullMemory +
    weights.near * terms.near +
    weights.zoneBalance * terms.zoneBalance
  );
}

/** The host's state after it took the lot: what a later lot of the same batch must see. */
export function reserve(host: HostState, lot: Lot): HostState {
  return {
    ...host,
    memoryFreeBytes: host.memoryFreeBytes - lot.resources.memoryBytes,
    diskFreeBytes: host.diskFreeBytes - lot.resources.diskBytes,
    cpuFreeMillis: Math.max(0, host.cpuFreeMillis - lot.resources.cpuMillis),
    ceilings: host.ceilings.map((one) => ({ ...one, free: Math.max(0, one.free - one.perJob) })),
    jobSlotsFree: host.jobSlotsFree - 1,
    startingCount: host.startingCount + 1,
    instancesByService: {
      ...host.instancesByService,
      [lot.serviceId]: (host.instancesByService[lot.serviceId] ?? 0) + 1,
    },
  };
}
