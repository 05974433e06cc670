/**
 * Whether the containers of a job that the ledger does not know may be removed.
 *
 * What must stay true: a lost ledger never stops a container. Only a fresh whole desired set that does not want the
 * job says so, and only one that was made when the container had been unknown for a while: a set may come late.
 */
import type { DesiredSet } from "./decide-stops.ts";

const UNKNOWN_GRACE_MS = 30_000;
const DESIRED_FRESH_MS = 60_000;

export interface SeenDesired {
  readonly set: DesiredSet;
  readonly atMs: number;
}

export function mayRemoveUnknown(
  jobId: string,
  unknownSinceMs: number,
  desired: SeenDesired | null,
  nowMs: number,
): boolean {
  if (desired === null || nowMs - desired.atMs > DESIRED_FRESH_MS) return false;
  const madeAtMs = Math.min(desired.atMs, desired.set.madeAtMs ?? desired.atMs);
  if (madeAtMs - unknownSinceMs < UNKNOWN_GRACE_MS) return false;
  return !desired.set.jobs.some((job) => job.jobId === jobId && job.action === "run");
}
