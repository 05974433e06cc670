/**
 * Whether a heartbeat says all, what changed, or only that all is as it was.
 *
 * What must stay true: a beat says "the same" only when the host holds the very jobs, at the same sequences, that the last
 * other one left, and names all others when it says what changed. What a bid says of free room may be a little off: the agent
 * decides on fresh state when it is awarded.
 */
import { MOST_JOBS_CHANGED, MOST_JOBS_TOLD } from "@berth/shared/contracts/host.ts";
import type { JobId } from "@berth/shared/domain/ids.ts";
import type { HostState } from "@berth/shared/domain/placement.ts";

/** What a beat tells besides the time. */
export interface Said {
  readonly state: HostState;
  /** The ledger, as it would be told. */
  readonly held: readonly JobAt[];
  /** All else, compared as a whole. */
  readonly rest: unknown;
}

interface JobAt {
  readonly jobId: JobId;
  readonly epoch: number;
  readonly sequence: number;
}

export interface BeatMemory {
  /** Of the last beat that did not only repeat; 0 before the first. */
  readonly revision: number;
  readonly said: Said | null;
  /** Beats since the last full one. */
  readonly sinceFull: number;
}

export const NOTHING_SAID: BeatMemory = { revision: 0, said: null, sinceFull: 0 };

export type BeatForm =
  | { readonly kind: "full" | "same" }
  | {
      readonly kind: "changed";
      /** The revision that it builds on. */
      readonly since: number;
      readonly changed: ReadonlySet<JobId>;
      readonly gone: readonly JobId[];
    };

/** Every so many beats one is in full, whatever was lost: of a host with many jobs less often, because it says all of them. */
export const FULL_EVERY = 5;
const MOST_FULL_EVERY = 30;
const JOBS_PER_BEAT = 10;

export function fullEvery(jobsCount: number): number {
  return Math.min(MOST_FULL_EVERY, Math.max(FULL_EVERY, Math.ceil(jobsCount / JOBS_PER_BEAT)));
}
const DISK_TOLERANCE = 0.005;
const CEILING_TOLERANCE = 0.02;

/** @returns what to remember, and what this beat must say */
export function nextBeat(memory: BeatMemory, said: Said): { memory: BeatMemory; form: BeatForm } {
  const { revision, said: before } = memory;
  const sinceFull = memory.sinceFull + 1;
  const full = {
    memory: { revision: revision + 1, said, sinceFull: 0 },
    form: { kind: "full" as const },
  };
  if (before === null || sinceFull >= fullEvery(said.held.length)) return full;
  if (isSame(before, said)) return { memory: { ...memory, sinceFull }, form: { kind: "same" } };
  // A beat that could not name all jobs is nothing to build on.
  if (Math.max(before.held.length, said.held.length) > MOST_JOBS_TOLD) return full;
  const { changed, gone } = changeOf(before.held, said.held);
  if (changed.size > MOST_JOBS_CHANGED || gone.length > MOST_JOBS_CHANGED) return full;
  return {
    memory: { revision: revision + 1, said, sinceFull },
    form: { kind: "changed", since: revision, changed, gone },
  };
}

function changeOf(before: readonly JobAt[], now: readonly JobAt[]) {
  const [had, has] = [before, now].map((held) => new Map(held.map((one) => [one.jobId, one])));
  const changed = now.filter((one) => {
    const old = had?.get(one.jobId);
    return old === undefined || !isSameJob(old, one);
  });
  const gone = before.filter(({ jobId }) => has?.has(jobId) !== true);
  return { changed: new Set(changed.map(({ jobId }) => jobId)), gone: gone.map(({ jobId }) => jobId) };
}

/** The next beat is in full. */
export function forgetSaid(memory: BeatMemory): BeatMemory {
  return { ...memory, said: null };
}

function isSame(before: Said, now: Said): boolean {
  return (
    sameJobs(before.held, now.held) &&
    isSameState(before.state, now.state) &&
    JSON.stringify(before.rest) === JSON.stringify(now.rest)
  );
}

function sameJobs(before: readonly JobAt[], now: readonly JobAt[]): boolean {
  return before.length === now.length && before.every((one, at) => isSameJob(one, now[at] as JobAt));
}

function isSameJob(one: JobAt, other: JobAt): boolean {
  return one.jobId === other.jobId && one.epoch === other.epoch && one.sequence === other.sequence;
}

function isSameState(before: HostState, now: HostState): boolean {
  if (before === now) return true;
  const { diskFreeBytes, diskTotalBytes } = before;
  if (Math.abs(now.diskFreeBytes - diskFreeBytes) > diskTotalBytes * DISK_TOLERANCE) return false;
  if (before.ceilings.length !== now.ceilings.length) return false;
  if (!before.ceilings.every((one, at) => isSameCeiling(one, now.ceilings[at]))) return false;
  return JSON.stringify(withoutReadings(before)) === JSON.stringify(withoutReadings(now));
}

type Ceiling = HostState["ceilings"][number];

function isSameCeiling(before: Ceiling, now: Ceiling | undefined): boolean {
  if (now === undefined || now.name !== before.name || now.total !== before.total) return false;
  if (now.perJob !== before.perJob || now.free < now.perJob !== before.free < before.perJob) return false;
  return Math.abs(now.free - before.free) <= before.total * CEILING_TOLERANCE;
}

/** What is read off the machine moves a little all the time, and an alarm's detail counts with it. */
function withoutReadings({ alarms, ...state }: HostState) {
  return { ...state, diskFreeBytes: 0, ceilings: [], alarms: alarms.map(({ code }) => code) };
}
