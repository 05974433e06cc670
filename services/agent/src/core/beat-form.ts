/**
 * Whether a heartbeat says all, or only that all is as it was.
 *
 * What must stay true: a beat says "the same" only when the host holds the very jobs, at the same sequences, that the last
 * full one named. What a bid says of free room may be a little off: the agent decides on fresh state when it is awarded.
 */
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
  readonly jobId: string;
  readonly epoch: number;
  readonly sequence: number;
}

export interface BeatMemory {
  /** Of the last full beat; 0 before the first. */
  readonly revision: number;
  readonly said: Said | null;
  /** Beats since then. */
  readonly repeated: number;
}

export const NOTHING_SAID: BeatMemory = { revision: 0, said: null, repeated: 0 };

/** Every so many beats one is in full, whatever was lost: of a host with many jobs less often, because it says all of them. */
export const FULL_EVERY = 5;
const MOST_FULL_EVERY = 30;
const JOBS_PER_BEAT = 10;

export function fullEvery(jobsCount: number): number {
  return Math.min(MOST_FULL_EVERY, Math.max(FULL_EVERY, Math.ceil(jobsCount / JOBS_PER_BEAT)));
}
const DISK_TOLERANCE = 0.005;
const CEILING_TOLERANCE = 0.02;

/** @returns what to remember, and whether this beat must be in full */
export function nextBeat(memory: BeatMemory, said: Said): { memory: BeatMemory; isFull: boolean } {
  const { revision, said: before, repeated } = memory;
  if (before !== null && repeated + 1 < fullEvery(said.held.length) && isSame(before, said))
    return { memory: { ...memory, repeated: repeated + 1 }, isFull: false };
  return { memory: { revision: revision + 1, said, repeated: 0 }, isFull: true };
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
  return (
    before.length === now.length &&
    before.every((one, at) => {
      const other = now[at] as JobAt;
      return one.jobId === other.jobId && one.epoch === other.epoch && one.sequence === other.sequence;
    })
  );
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
