/**
 * What it means that a host's whole list does not name a job which the record has on that host.
 *
 * What must stay true: an unanswered award is not a refusal. It goes back to the auction only by a list that was
 * made after its lease had ended; and a list that is older than the record's newest word on the job says nothing.
 */
import type { JobState } from "@berth/shared/domain/job-state.ts";

export interface HeldRow {
  readonly state: JobState;
  readonly desired: "run" | "stop";
  readonly leaseExpiresAtMs: number | null;
  readonly updatedAtMs: number;
  readonly singleWriter: boolean;
}

/**
 * `wait`: nothing follows yet. `stop`: the job is not wanted there any more. Else the state that the job steps to;
 * `requested` gives it back to the auction.
 */
export type AbsenceVerdict = "wait" | "stop" | "requested" | "finished" | "failed";

/** How long after the award's lease a list may still be one that was made before the award came. */
export const AWARD_GRACE_MS = 3000;
const GONE_GRACE_MS = 3000;
const FAILED_GRACE_MS = 5000;

/** What an award becomes that its host declined or never got. A job that nobody wants any more is over. */
export function givenBack(desired: "run" | "stop"): "requested" | "finished" {
  return desired === "stop" ? "finished" : "requested";
}

/**
 * @param atMs when the list was made
 * @param unknownHere whether the host runs a container of the job that its ledger does not know. A single writer is not
 *   over while that lasts: its host removes what the record wants stopped.
 */
export function judgeAbsence(row: HeldRow, atMs: number, unknownHere = false): AbsenceVerdict {
  if (unknownHere && row.singleWriter && row.state !== "awarded")
    return row.desired === "run" ? "stop" : "wait";
  if (row.state === "awarded") {
    if (row.leaseExpiresAtMs !== null && row.leaseExpiresAtMs + AWARD_GRACE_MS > atMs) return "wait";
    return givenBack(row.desired);
  }
  const quietMs = atMs - row.updatedAtMs;
  if (row.state === "lost" || row.desired === "stop") return quietMs > GONE_GRACE_MS ? "finished" : "wait";
  return quietMs > FAILED_GRACE_MS ? "failed" : "wait";
}
