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
import type { SleepOrder } from "@berth/shared/domain/sleep.ts";

export interface DesiredJob {
  readonly jobId: JobId;
  readonly epoch: number;
  readonly action: "run" | "stop";
  readonly sleep?: SleepOrder;
  /** The newest sleep of its service that is over. */
  readonly wokenEpoch?: number;
}

interface KnownJob {
  readonly epoch: number;
  readonly view: {
    readonly id: JobId;
    readonly hostId: HostId | null;
    readonly state: JobState;
    readonly desired: "run" | "stop";
    readonly sleep: SleepOrder | null;
    readonly wokenEpoch: number;
  };
}

/** Every job that the record has on each host. */
export function desiredByHost(jobs: readonly KnownJob[]): ReadonlyMap<HostId, DesiredJob[]> {
  const byHost = new Map<HostId, DesiredJob[]>();
  for (const { view, epoch } of jobs) {
    const { id: jobId, hostId, state, desired: action, sleep, wokenEpoch } = view;
    if (hostId === null || isFinal(state) || state === "requested") continue;
    const told = sleep !== null ? { sleep } : wokenEpoch > 0 ? { wokenEpoch } : {};
    const wanted = { ...{ jobId, epoch, action }, ...(action === "run" ? told : {}) };
    const known = byHost.get(hostId);
    if (known === undefined) byHost.set(hostId, [wanted]);
    else known.push(wanted);
  }
  return byHost;
}

/** Every job that the record has on the host. */
export function desiredJobs(jobs: readonly KnownJob[], hostId: HostId): DesiredJob[] {
  return desiredByHost(jobs).get(hostId) ?? [];
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

/** The newest epoch under which some host holds each job, by the hosts' newest lists: one look instead of all lists. */
export class ReportedEpochs {
  readonly #byJob = new Map<string, Map<HostId, number>>();
  readonly #jobsOf = new Map<HostId, readonly string[]>();

  take(hostId: HostId, jobs: HostReport["jobs"]): void {
    for (const jobId of this.#jobsOf.get(hostId) ?? []) {
      const holders = this.#byJob.get(jobId);
      holders?.delete(hostId);
      if (holders?.size === 0) this.#byJob.delete(jobId);
    }
    for (const { jobId, epoch } of jobs) {
      const holders = this.#byJob.get(jobId) ?? new Map<HostId, number>();
      holders.set(hostId, Math.max(epoch, holders.get(hostId) ?? 0));
      this.#byJob.set(jobId, holders);
    }
    this.#jobsOf.set(
      hostId,
      jobs.map(({ jobId }) => jobId),
    );
  }

  /** True when a host holds the job under a later epoch than the record knows: an auction would give it twice. */
  isHeldLater(jobId: string, epoch: number): boolean {
    return [...(this.#byJob.get(jobId)?.values() ?? [])].some((held) => held > epoch);
  }
}
