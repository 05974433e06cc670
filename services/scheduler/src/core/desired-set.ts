/**
 * The desired set of one host, and whether it may be called whole.
 *
 * What must stay true: a set is whole only when the record knows every job that the host reported. A host that holds
 * what the record never heard of means that the record was lost or restored; then nothing stops.
 */
import type { HostId, JobId } from "@berth/shared/domain/ids.ts";
import type { JobState } from "@berth/shared/domain/job-state.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";

export interface DesiredJob {
  readonly jobId: JobId;
  readonly epoch: number;
  readonly action: "run" | "stop";
}

interface KnownJob {
  readonly epoch: number;
  readonly view: {
    readonly id: JobId;
    readonly hostId: HostId | null;
    readonly state: JobState;
    readonly desired: "run" | "stop";
  };
}

/** Every job that the record has on the host. */
export function desiredJobs(jobs: readonly KnownJob[], hostId: HostId): DesiredJob[] {
  return jobs
    .filter(({ view }) => view.hostId === hostId && !isFinal(view.state) && view.state !== "requested")
    .map(({ view, epoch }) => ({ jobId: view.id, epoch, action: view.desired }));
}

/** Reported jobs that the record does not know. @param known epoch of every reported job that is stored */
export function findStrangers(
  reported: readonly { readonly jobId: string; readonly epoch: number }[],
  known: ReadonlyMap<string, number>,
): Set<string> {
  return new Set(reported.filter(({ jobId }) => !known.has(jobId)).map(({ jobId }) => jobId));
}
