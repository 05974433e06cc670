/**
 * The jobs part of a heartbeat: every job, small enough for one message.
 *
 * A heartbeat may come before the observation it repeats, and the scheduler takes each sequence once: so jobs are
 * told in full, and only past the size budget those that the bus already took lose their lines and stages.
 */
import type { ObservedJob } from "@berth/shared/contracts/job.ts";
import { type JobRecord, toObserved } from "./job-record.ts";

export const MAX_JOBS = 500;
/** Half of the bus's limit. */
export const MAX_JOBS_BYTES = 512 * 1024;

export function heartbeatJobs(records: readonly JobRecord[]): { whole: boolean; jobs: ObservedJob[] } {
  const newestFirst = records.toSorted((a, b) => b.acceptedAtMs - a.acceptedAtMs).slice(0, MAX_JOBS);
  let bytes = 0;
  const jobs = newestFirst.map((record): ObservedJob => {
    const observed = toObserved(record);
    const size = new TextEncoder().encode(JSON.stringify(observed)).length;
    const fits = bytes + size <= MAX_JOBS_BYTES;
    if (fits) bytes += size;
    return fits ? observed : { ...observed, lastLines: [], stages: [] };
  });
  return { whole: records.length <= MAX_JOBS, jobs };
}
