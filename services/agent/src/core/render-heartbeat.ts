/** The jobs part of a heartbeat: every job, small enough for one message. */
import type { ObservedJob } from "@berth/shared/contracts/job.ts";
import { type JobRecord, toObserved } from "./job-record.ts";

const MAX_JOBS = 500;
/** A job that changed this recently tells its stages too: an observation of it may still be on its way. */
const STAGES_FOR_MS = 120_000;

export function heartbeatJobs(
  records: readonly JobRecord[],
  nowMs: number,
): { whole: boolean; jobs: ObservedJob[] } {
  const jobs = records.slice(0, MAX_JOBS).map((record): ObservedJob => {
    const observed = toObserved(record);
    const isFresh = nowMs - record.acceptedAtMs < STAGES_FOR_MS;
    return { ...observed, lastLines: [], stages: isFresh ? observed.stages : [] };
  });
  return { whole: records.length <= MAX_JOBS, jobs };
}
