/**
 * Which awards are sent again: those that stand and that no host has answered.
 *
 * The award, its answer or the leader that sent it was lost. An agent answers the same job and epoch the same way, so
 * asking again is safe, and it is quicker than the end of the lease. The lease is not made longer by it: a host that
 * stays silent loses the job when it always would have.
 *
 * Pure.
 */
import type { JobState } from "@berth/shared/domain/job-state.ts";

export interface AwardView {
  readonly state: JobState;
  readonly desired: "run" | "stop";
  readonly leaseExpiresAtMs: number | null;
  /** When this process sent it last; null when an earlier leader did, or nobody. */
  readonly sentAtMs: number | null;
}

export const ASK_AGAIN_MS = 2000;
/** Less than this before the end of the lease, an acceptance would come too late to count. */
export const LEAST_LEFT_MS = 2000;

export function isAskedAgain(award: AwardView, nowMs: number): boolean {
  if (award.state !== "awarded" || award.desired !== "run" || award.leaseExpiresAtMs === null) return false;
  if (nowMs > award.leaseExpiresAtMs - LEAST_LEFT_MS) return false;
  return award.sentAtMs === null || nowMs >= award.sentAtMs + ASK_AGAIN_MS;
}
