/**
 * How long an instance may run without the scheduler's word.
 *
 * A lease is counted from when this host sent the heartbeat that the scheduler answered, on this host's monotonic
 * clock: the scheduler counts the host's silence from when that heartbeat came, which is later. So neither clocks that
 * differ nor a late message make a lease outlast the silence after which the slot is given away.
 *
 * What must stay true: a single-writer instance starts only under a lease, and is stopped when it ends.
 */
import type { PartitionPolicy } from "@berth/shared/domain/service-policy.ts";
import type { JobRecord } from "./job-record.ts";

export interface Lease {
  readonly epoch: number;
  /** Monotonic, of this boot. */
  readonly fromMs: number;
}

export type Leases = ReadonlyMap<string, Lease>;

/** `held`: it may start and run. `unsure`: what runs goes on, nothing starts. `ended`: what runs is stopped. */
export type LeaseState = "held" | "unsure" | "ended";

/** A single writer does not start under a lease that ends before the start may be over. */
const LEAST_LEFT_TO_START_MS = 3000;

export function needsLease({ singleWriter, stopAfterMs }: PartitionPolicy): boolean {
  return singleWriter || stopAfterMs !== null;
}

/** @param agentStartedMs since when this agent could have heard the scheduler */
export function leaseState(
  { spec }: Pick<JobRecord, "spec">,
  leases: Leases,
  agentStartedMs: number,
  nowMs: number,
): LeaseState {
  const { singleWriter, stopAfterMs } = spec.partition;
  if (!needsLease(spec.partition)) return "held";
  const lease = leases.get(spec.jobId);
  const own = lease?.epoch === spec.epoch ? lease.fromMs : null;
  const fromMs = own ?? (singleWriter ? null : agentStartedMs);
  if (stopAfterMs === null) return fromMs === null ? "unsure" : "held";
  if (fromMs === null) return "ended";
  const leftMs = fromMs + stopAfterMs - nowMs;
  if (leftMs <= 0) return "ended";
  return singleWriter && leftMs < LEAST_LEFT_TO_START_MS ? "unsure" : "held";
}

/** A set that names a job as one to run renews its lease; what it does not name keeps what it has. */
export function renewLeases(
  leases: Leases,
  named: readonly { readonly jobId: string; readonly epoch: number; readonly action: "run" | "stop" }[],
  fromMs: number,
  records: readonly JobRecord[],
): Leases {
  const run = new Map(named.filter(({ action }) => action === "run").map((job) => [job.jobId, job.epoch]));
  const renewed = new Map<string, Lease>();
  for (const { spec } of records) {
    if (!needsLease(spec.partition)) continue;
    const old = leases.get(spec.jobId);
    const kept = old?.epoch === spec.epoch ? old : undefined;
    if (run.get(spec.jobId) === spec.epoch)
      renewed.set(spec.jobId, { epoch: spec.epoch, fromMs: Math.max(fromMs, kept?.fromMs ?? 0) });
    else if (kept !== undefined) renewed.set(spec.jobId, kept);
  }
  return renewed;
}
