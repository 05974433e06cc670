/**
 * How the instances of one process are replaced in a deploy.
 *
 * Without `canary` and `batch` all new instances start at once beside the old ones and take over together, so that two
 * releases never answer at the same time. With one of them they take over slot by slot: both releases answer meanwhile.
 */
import { z } from "zod";

export const MAX_MIN_READY_MS = 300_000;
/** Longest time without progress that an owner may grant a deploy. */
export const MAX_PROGRESS_DEADLINE_MS = 3_600_000;
export const LEAST_PROGRESS_DEADLINE_MS = 10_000;

const instances = z.int("must be a whole number").min(1).max(500);

export const Rollout = z.strictObject({
  /** So many instances take over first, and must hold for `minReadyMs` with requests before the others start. */
  canary: instances.nullable().default(null),
  /** Most new instances at once that did not take over yet. */
  batch: instances.nullable().default(null),
  /** An instance counts as ready once it was so for this long without a break; null: at once. */
  minReadyMs: z.int().min(0).max(MAX_MIN_READY_MS).nullable().default(null),
});
export type Rollout = z.infer<typeof Rollout>;

export const ALL_AT_ONCE: Rollout = Rollout.parse({});

/** True when two releases of the process answer at the same time during a deploy, because its owner wants that. */
export function isPaced({ canary, batch }: Rollout): boolean {
  return canary !== null || batch !== null;
}
