/** What changed on a host that is drained, from one look to the next, as lines. Pure. */
import type { Answer } from "../client.ts";
import { leavingWords } from "./render-host.ts";

type Job = Answer<"showHost">["jobs"][number];

/** @param before null at the first look */
export function drainNews(
  before: readonly Job[] | null,
  now: readonly Job[],
  clean: (text: string) => string,
): string[] {
  const name = (job: Job) => clean(`${job.org}/${job.environment}/${job.service} ${job.process}.${job.slot}`);
  if (before === null && now.length > 0) {
    return [`${now.length} to move`, ...now.flatMap((job) => line(name(job), leavingWords(job, clean)))];
  }
  const were = new Map((before ?? []).map((job) => [job.jobId, job]));
  const are = new Set(now.map(({ jobId }) => jobId));
  const gone = (before ?? []).filter(({ jobId }) => !are.has(jobId));
  const changed = now.filter((job) => {
    const was = were.get(job.jobId);
    return was === undefined || leavingWords(was, clean) !== leavingWords(job, clean);
  });
  return [
    ...changed.flatMap((job) => line(name(job), leavingWords(job, clean))),
    ...gone.map((job) => {
      const host = job.successor?.host ?? null;
      return `${name(job)} ${host === null ? "is gone from here" : `moved to ${clean(host)}`}, ${now.length} left`;
    }),
  ];
}

function line(name: string, words: string): string[] {
  return words === "" ? [] : [`${name} ${words}`];
}
