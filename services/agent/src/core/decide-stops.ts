/**
 * Which jobs of the ledger a desired set ends. No destructive act on missing knowledge: a set that is not whole,
 * or is older than one already seen, ends nothing.
 */
import type { SleepOrder } from "@berth/shared/domain/sleep.ts";
import type { JobRecord } from "./job-record.ts";

export interface DesiredSet {
  readonly leaderEpoch: number;
  readonly revision: number;
  readonly whole: boolean;
  /** When the scheduler read the set, by its clock. */
  readonly madeAtMs?: number | undefined;
  /** Images that stay for rollbacks; a set without them says nothing about images. */
  readonly pinnedImages?: readonly string[] | undefined;
  /** The heartbeat of this host that the scheduler knew when it read. */
  readonly answersBeat?: { readonly bootId: string; readonly monotonicMs: number } | undefined;
  readonly jobs: readonly {
    readonly jobId: string;
    readonly epoch: number;
    readonly action: "run" | "stop";
    readonly sleep?: SleepOrder | undefined;
    readonly wokenEpoch?: number | undefined;
  }[];
}

export interface DesiredVersion {
  readonly leaderEpoch: number;
  readonly revision: number;
}

/** A job accepted this recently may be missing in a set that was read just before: the next set decides. */
export const FRESH_AWARD_MS = 10_000;

export type StopDecision =
  | { readonly kind: "ignored"; readonly reason: "not-whole" | "older" }
  | { readonly kind: "decided"; readonly stop: readonly string[] };

export function decideStops(
  set: DesiredSet,
  seen: DesiredVersion | null,
  records: readonly JobRecord[],
  nowMs: number,
): StopDecision {
  if (isOlder(set, seen)) return { kind: "ignored", reason: "older" };
  if (!set.whole) return { kind: "ignored", reason: "not-whole" };
  // A set may come late: what counts is when it was read, not when it arrived.
  const madeAtMs = Math.min(nowMs, set.madeAtMs ?? nowMs);
  const named = new Map(set.jobs.map((job) => [job.jobId, job]));
  const ended = records.filter((record) => {
    const job = named.get(record.spec.jobId);
    if (job === undefined) return madeAtMs - record.acceptedAtMs >= FRESH_AWARD_MS;
    return job.action === "stop" && job.epoch >= record.spec.epoch;
  });
  return { kind: "decided", stop: ended.map(({ spec }) => spec.jobId) };
}

/** The newest version that this agent knows of: from sets, and from awards, which name their leader too. */
export function newestSeen(set: DesiredVersion | null, leaderEpoch: number): DesiredVersion {
  return set === null || set.leaderEpoch < leaderEpoch ? { leaderEpoch, revision: 0 } : set;
}

function isOlder(set: DesiredVersion, seen: DesiredVersion | null): boolean {
  if (seen === null) return false;
  if (set.leaderEpoch !== seen.leaderEpoch) return set.leaderEpoch < seen.leaderEpoch;
  return set.revision < seen.revision;
}
