/**
 * Takes what an agent saw into a job's stored state. Facts about a lower epoch or an older sequence are late and
 * dropped; an illegal step is refused and told.
 */
import type { ObservedJob } from "@berth/shared/contracts/job.ts";
import type { JobState } from "@berth/shared/domain/job-state.ts";
import { canStep } from "@berth/shared/domain/job-state.ts";

export interface StoredObservation {
  readonly epoch: number;
  readonly state: JobState;
  readonly hostId: string | null;
  readonly observedSequence: number;
}

export type Verdict =
  | { readonly kind: "take" }
  | { readonly kind: "late" }
  | { readonly kind: "foreign" }
  | { readonly kind: "illegal" };

export function judgeObservation(stored: StoredObservation, hostId: string, observed: ObservedJob): Verdict {
  if (stored.hostId !== hostId || observed.epoch > stored.epoch) return { kind: "foreign" };
  if (observed.epoch < stored.epoch || observed.sequence <= stored.observedSequence) return { kind: "late" };
  return canStep(stored.state, observed.state) ? { kind: "take" } : { kind: "illegal" };
}
