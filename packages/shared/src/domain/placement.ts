/**
 * The words of the auction and the scoring function, used by the agent to bid and by the scheduler to
 * simulate the rest of a batch on the same host.
 *
 * First every host is kept or refused with a code; then a kept host gets Σ weight · score, where every
 * score is in [0, 1] and higher is better.
 */
import { z } from "zod";
import { assert } from "./assert.ts";
import { HostId, JobId, ServiceId } from "./ids.ts";
import type { Resources as ResourcesType } from "./resources.ts";
import { Resources } from "./resources.ts";

/** What is auctioned: one job's needs. `count` jobs of one lot are equal. */
export const Lot = z.strictObject({
  jobId: JobId,
  serviceId: ServiceId,
  process: z.string(),
  resources: Resources,
  imageDigest: z.string(),
  imageBytes: z.number().min(0),
});
export type Lot = z.infer<typeof Lot>;

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
});
export type HostState = z.infer<typeof HostState>;

export const RefusalCode = z.enum([
  "not-enough-memory",
  "not-enough-disk",
  "no-job-slot",
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

/** Weights of the scores; each ≥ 0. The same-service weight dominates by its size. */
export interface ScoreWeights {
  readonly freeMemory: number;
  readonly freeDisk: number;
  readonly notStarting: number;
  readonly fewSameService: number;
  readonly imagePresent: number;
}

export const DEFAULT_WEIGHTS: ScoreWeights = {
  freeMemory: 1,
  freeDisk: 0.3,
  notStarting: 0.5,
  fewSameService: 100,
  imagePresent: 0.4,
};

export const ScoreTerms = z.strictObject({
  freeMemory: z.number(),
  freeDisk: z.number(),
  notStarting: z.number(),
  fewSameService: z.number(),
  imagePresent: z.number(),
});
export type ScoreTerms = z.infer<typeof ScoreTerms>;

/** @returns the reason why `host` cannot take `lot`, or null when it can. Memory is never over-committed. */
export function refuse(host: HostState, lot: Lot): Refusal | null {
  if (host.cordoned) return { code: "cordoned", detail: "an operator cordoned this host" };
  const unavailable = RefusalCode.safeParse(host.unavailable[0]);
  if (host.unavailable.length > 0) {
    return {
      code: unavailable.success ? unavailable.data : "engine-unreachable",
      detail: host.unavailable.join(", "),
    };
  }
  return refuseForCapacity(host, lot.resources);
}

function refuseForCapacity(host: HostState, needs: ResourcesType): Refusal | null {
  if (needs.memoryBytes > host.memoryFreeBytes) {
    return {
      code: "not-enough-memory",
      detail: `needs ${needs.memoryBytes} B, free ${host.memoryFreeBytes} B of ${host.memoryTotalBytes} B`,
    };
  }
  if (needs.diskBytes > host.diskFreeBytes) {
    return {
      code: "not-enough-disk",
      detail: `needs ${needs.diskBytes} B, free ${host.diskFreeBytes} B of ${host.diskTotalBytes} B`,
    };
  }
  if (host.jobSlotsFree < 1)
    return { code: "no-job-slot", detail: `all ${host.jobSlotsTotal} job slots are taken` };
  return null;
}

/** The terms of a host's score for one lot, each in [0, 1], higher is better. */
export function scoreTerms(host: HostState, lot: Lot): ScoreTerms {
  assert(host.memoryTotalBytes > 0 && host.diskTotalBytes > 0, `host ${host.hostId} has no memory or disk`);
  const same = host.instancesByService[lot.serviceId] ?? 0;
  return {
    freeMemory: share(host.memoryFreeBytes - lot.resources.memoryBytes, host.memoryTotalBytes),
    freeDisk: share(host.diskFreeBytes - lot.resources.diskBytes, host.diskTotalBytes),
    notStarting: 1 / (1 + host.startingCount),
    fewSameService: 1 / (1 + same),
    imagePresent: host.imageDigests.includes(lot.imageDigest) ? 1 : 0,
  };
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
    weights.imagePresent * terms.imagePresent
  );
}

/** The host's state after it took the lot: what a later lot of the same batch must see. */
export function reserve(host: HostState, lot: Lot): HostState {
  return {
    ...host,
    memoryFreeBytes: host.memoryFreeBytes - lot.resources.memoryBytes,
    diskFreeBytes: host.diskFreeBytes - lot.resources.diskBytes,
    jobSlotsFree: host.jobSlotsFree - 1,
    startingCount: host.startingCount + 1,
    instancesByService: {
      ...host.instancesByService,
      [lot.serviceId]: (host.instancesByService[lot.serviceId] ?? 0) + 1,
    },
  };
}
