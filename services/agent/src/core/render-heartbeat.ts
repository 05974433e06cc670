/**
 * The jobs part of a heartbeat: every job, small enough for one message.
 *
 * A heartbeat may come before the observation it repeats, and the scheduler takes each sequence once: so jobs are
 * told in full, and only past the size budget those that the bus already took lose lines, stages and most of the reason.
 */
import { MOST_JOBS_TOLD } from "@berth/shared/contracts/host.ts";
import type { ObservedJob } from "@berth/shared/contracts/job.ts";
import type { BeatForm } from "./beat-form.ts";
import { type JobRecord, toObserved } from "./job-record.ts";

/** Half of the bus's limit. */
const MAX_JOBS_BYTES = 512 * 1024;
const SHORT_REASON_CHARACTERS = 30;

/** @param rest what a beat that does not only repeat says besides jobs */
export function renderBeat<Head extends object, Rest extends object>(
  form: BeatForm,
  head: Head,
  { records, rest }: { readonly records: readonly JobRecord[]; readonly rest: Rest },
) {
  switch (form.kind) {
    case "same":
      return { form: "same" as const, ...head };
    case "full":
      return { form: "full" as const, ...head, ...heartbeatJobs(records), ...rest };
    case "changed": {
      const { jobs } = heartbeatJobs(records.filter(({ spec }) => form.changed.has(spec.jobId)));
      return { form: "changed" as const, ...head, since: form.since, jobs, gone: [...form.gone], ...rest };
    }
  }
}

export function heartbeatJobs(records: readonly JobRecord[]): { whole: boolean; jobs: ObservedJob[] } {
  const newestFirst = records.toSorted((a, b) => b.acceptedAtMs - a.acceptedAtMs).slice(0, MOST_JOBS_TOLD);
  let bytes = 0;
  const jobs = newestFirst.map((record): ObservedJob => {
    const observed = toObserved(record);
    const size = new TextEncoder().encode(JSON.stringify(observed)).length;
    const fits = bytes + size <= MAX_JOBS_BYTES;
    if (fits) bytes += size;
    if (fits) return observed;
    const reason = observed.reason?.slice(0, SHORT_REASON_CHARACTERS) ?? null;
    return { ...observed, reason, lastLines: [], stages: [] };
  });
  return { whole: records.length <= MOST_JOBS_TOLD, jobs };
}
