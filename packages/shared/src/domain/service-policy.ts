/**
 * What a service's owner says of it: what happens to its instances when their host is unreachable, and which hosts
 * they may run on.
 *
 * What must stay true: a single-writer instance is stopped by its own host before another one may start, so
 * `stopAfterMs` and the time that a stop takes lie before `replaceAfterMs`.
 */
import { z } from "zod";
import { ServiceId } from "./ids.ts";
import { LEAST_PROGRESS_DEADLINE_MS, MAX_PROGRESS_DEADLINE_MS } from "./rollout.ts";
import { LEAST_SLEEP_AFTER_MS, MAX_SLEEP_AFTER_MS, SleepLevel } from "./sleep.ts";

/** A host is not lost before this silence, so nothing is replaced earlier. */
export const LEAST_REPLACE_AFTER_MS = 10_000;
/** Some desired sets may get lost without the lease ending. */
export const LEAST_STOP_AFTER_MS = 10_000;
/** SIGTERM, then SIGKILL after this. */
export const STOP_GRACE_MS = 10_000;
/** For what lies between the lease's end and the stop's: the agent's look, the engine's answer, clocks. */
export const STOP_MARGIN_MS = 5000;
const WEEK_MS = 7 * 24 * 3_600_000;

export const OnReturn = z.enum(["keep-replacement", "keep-original"]);
export type OnReturn = z.infer<typeof OnReturn>;

/** What happens to an instance whose host is unreachable. Its host has this in the ledger, with the job. */
export const PartitionPolicy = z.strictObject({
  /** Silence of the host until another instance takes the slot; null: never, it waits for its host. */
  replaceAfterMs: z.int().min(LEAST_REPLACE_AFTER_MS).max(WEEK_MS).nullable().default(LEAST_REPLACE_AFTER_MS),
  /** The host stops the instance after this long without the scheduler's word; null: it runs on for ever. */
  stopAfterMs: z.int().min(LEAST_STOP_AFTER_MS).max(WEEK_MS).nullable().default(null),
  /** Which of the two stays when the host comes back after it was replaced. */
  onReturn: OnReturn.default("keep-replacement"),
  /** At most one running instance per slot: it starts only under a lease, and moves stop-first. */
  singleWriter: z.boolean().default(false),
});
export type PartitionPolicy = z.infer<typeof PartitionPolicy>;

export const DEFAULT_PARTITION_POLICY: PartitionPolicy = PartitionPolicy.parse({});

/** What a service gets that is made a single writer without saying more. */
export const SINGLE_WRITER_POLICY: PartitionPolicy = {
  replaceAfterMs: 60_000,
  stopAfterMs: 30_000,
  onReturn: "keep-replacement",
  singleWriter: true,
};

export const ServicePolicy = PartitionPolicy.extend({
  /** Never two instances of the service on one host. */
  apart: z.boolean().default(false),
  /** Labels that a host must have. */
  labels: z.record(z.string().max(63), z.string().max(63)).default({}),
  /** Container runtime that the host's engine must have. */
  runtime: z.string().min(1).max(40).default("runc"),
  /** A service next to which it is preferred. */
  nearServiceId: ServiceId.nullable().default(null),
  /** The service falls asleep when nobody asked for it for so long; null: never by itself. */
  sleepAfterMs: z.int().min(LEAST_SLEEP_AFTER_MS).max(MAX_SLEEP_AFTER_MS).nullable().default(null),
  sleepLevel: SleepLevel.default("stopped"),
  /** A deploy in which nothing gets further for so long is rolled back; null: the platform's own. */
  progressDeadlineMs: z
    .int()
    .min(LEAST_PROGRESS_DEADLINE_MS)
    .max(MAX_PROGRESS_DEADLINE_MS)
    .nullable()
    .default(null),
});
export type ServicePolicy = z.infer<typeof ServicePolicy>;

export function partitionOf(policy: ServicePolicy): PartitionPolicy {
  const { replaceAfterMs, stopAfterMs, onReturn, singleWriter } = policy;
  return { replaceAfterMs, stopAfterMs, onReturn, singleWriter };
}

export type PolicyChange = { readonly [K in keyof ServicePolicy]?: ServicePolicy[K] | undefined };

/** A service that becomes, or stops being, a single writer takes that kind's times where none are given. */
export function changePolicy(before: ServicePolicy, change: PolicyChange): ServicePolicy {
  const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
  const turned = change.singleWriter !== undefined && change.singleWriter !== before.singleWriter;
  const { replaceAfterMs, stopAfterMs, onReturn } = change.singleWriter
    ? SINGLE_WRITER_POLICY
    : DEFAULT_PARTITION_POLICY;
  return { ...before, ...(turned ? { replaceAfterMs, stopAfterMs, onReturn } : {}), ...given };
}

/** @returns which field is wrong and why, or null */
export function policyProblem(policy: ServicePolicy): { field: string; text: string } | null {
  if (!policy.singleWriter) return null;
  if (policy.sleepAfterMs !== null)
    return { field: "sleepAfterMs", text: "must be off for a single writer: it never sleeps" };
  if (policy.onReturn === "keep-original")
    return {
      field: "onReturn",
      text: "must be keep-replacement for a single writer: its original was stopped before the replacement started",
    };
  if (policy.replaceAfterMs === null) return null;
  const leastMs = (policy.stopAfterMs ?? 0) + STOP_GRACE_MS + STOP_MARGIN_MS;
  if (policy.stopAfterMs === null)
    return {
      field: "stopAfterMs",
      text: "is needed for a single writer that is replaced; set it, or never replace it",
    };
  if (policy.replaceAfterMs >= leastMs) return null;
  return {
    field: "replaceAfterMs",
    text: `must be at least ${leastMs / 1000} s: a single writer stops ${policy.stopAfterMs / 1000} s after the last word, and needs up to ${(STOP_GRACE_MS + STOP_MARGIN_MS) / 1000} s to stop`,
  };
}

/** True when the running instances must be made anew for the change to count: their hosts know the old policy. */
export function needsNewJobs(before: ServicePolicy, after: ServicePolicy): boolean {
  const known = (policy: ServicePolicy) =>
    JSON.stringify([
      policy.stopAfterMs,
      policy.singleWriter,
      policy.apart,
      Object.entries(policy.labels).toSorted(),
      policy.runtime,
    ]);
  return known(before) !== known(after);
}
