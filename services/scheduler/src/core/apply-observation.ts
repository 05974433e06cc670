/**
 * Takes what an agent saw into a job's stored state. Facts about a lower epoch or an older sequence are late and
 * dropped; an illegal step is refused and told. A lost job that its host still names is not lost any more, although
 * nothing about it changed.
 */
import type { ObservedJob } from "@berth/shared/contracts/job.ts";
import type { JobState } from "@berth/shared/domain/job-state.ts";
import { canStep } from "@berth/shared/domain/job-state.ts";

export interface StoredObservation {
  readonly epoch: number;
  readonly state: JobState;
  readonly hostId: string | null;
  readonly observedSequence: number;
  /** It is to run and counts as not ready: a sleep that its host never began, or ended by itself, left it so. */
  readonly awaited?: boolean;
}

export type Verdict =
  | { readonly kind: "take" }
  | { readonly kind: "late" }
  | { readonly kind: "foreign" }
  | { readonly kind: "illegal" };

/** @param listed whether it comes with the host's whole list, and so is what the host holds now */
export function judgeObservation(
  stored: StoredObservation,
  hostId: string,
  observed: ObservedJob,
  listed: boolean,
): Verdict {
  if (stored.hostId !== hostId || observed.epoch > stored.epoch) return { kind: "foreign" };
  const same = listed && observed.sequence === stored.observedSequence;
  const found = same && (stored.state === "lost" || (stored.awaited === true && observed.ready));
  const late = observed.sequence <= stored.observedSequence && !found;
  if (observed.epoch < stored.epoch || late) return { kind: "late" };
  return canStep(stored.state, observed.state) ? { kind: "take" } : { kind: "illegal" };
}

export interface Seen {
  readonly state: JobState;
  readonly ready: boolean;
  readonly restartsCount: number;
  readonly reasonCode: string | null;
}

/** Where exactly a job is on its way from the award to its first readiness, no plan depends on. */
const ON_ITS_WAY: ReadonlySet<JobState> = new Set(["awarded", "accepted", "preparing", "starting"]);

/** False for one more step of a job that comes up as it should: planning would find nothing to do. */
export function concernsPlan(before: Seen, after: Seen): boolean {
  const isOnItsWay = ON_ITS_WAY.has(before.state) && ON_ITS_WAY.has(after.state);
  const isSame =
    before.ready === after.ready &&
    before.restartsCount === after.restartsCount &&
    before.reasonCode === after.reasonCode;
  return !isOnItsWay || !isSame;
}
