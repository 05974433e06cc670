/**
 * The desired set of one host, and whether it may be called whole.
 *
 * What must stay true: a set is whole only when the very reading that it is made from knows every job of the host's
 * own newest list. A host that holds what the record never heard of, or a later epoch of it, means that the record
 * was lost or restored; then nothing stops.
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

/** What a host said that it holds. */
export interface HostReport {
  /** When the host made the list. */
  readonly atMs: number;
  readonly jobs: readonly { readonly jobId: string; readonly epoch: number }[];
}

/** How old a host's list may be when a set is called whole; below the grace that agents give to fresh awards. */
const REPORT_FRESH_MS = 6000;

/** @param known epoch of every job of the list that the reading found */
export function isWhole(
  report: HostReport | undefined,
  known: ReadonlyMap<string, number>,
  nowMs: number,
): boolean {
  if (report === undefined || nowMs - report.atMs > REPORT_FRESH_MS) return false;
  return findStrangers(report.jobs, known).size === 0;
}

/** Jobs that some host holds under a later epoch than the record knows: an auction would give that epoch twice. */
export function heldLater(reports: Iterable<HostReport>, known: ReadonlyMap<string, number>): Set<string> {
  const later = new Set<string>();
  for (const { jobs } of reports) for (const jobId of findStrangers(jobs, known)) later.add(jobId);
  return later;
}

/** Reported jobs that the record does not know at this epoch. @param known epoch of every job that is stored */
export function findStrangers(
  reported: readonly { readonly jobId: string; readonly epoch: number }[],
  known: ReadonlyMap<string, number>,
): Set<string> {
  return new Set(
    reported.filter(({ jobId, epoch }) => epoch > (known.get(jobId) ?? -1)).map(({ jobId }) => jobId),
  );
}
