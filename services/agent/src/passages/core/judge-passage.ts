/** Whether a passage to an instance may be opened, and may stay. Pure: the host's own records decide, not who asks. */
import type { JobRecord } from "../../core/job-record.ts";

export interface PassageAsk {
  readonly environmentId: string;
  readonly jobId: string;
  readonly port: number;
}

export type Reachable = Pick<JobRecord, "state" | "ready" | "address"> & {
  readonly spec: { readonly jobId: string; readonly environmentId: string };
};

/** @returns the instance's address, or why there is none */
export function addressFor(
  { environmentId, jobId }: PassageAsk,
  jobs: readonly Reachable[],
): { readonly address: string } | { readonly reason: string } {
  const job = jobs.find(({ spec }) => spec.jobId === jobId);
  // One of another environment is none of this one.
  if (job === undefined || job.spec.environmentId !== environmentId)
    return { reason: "the host has no such instance of the environment" };
  if (job.state !== "running" || !job.ready || job.address === null)
    return { reason: "the instance is not ready" };
  return { address: job.address };
}

/** A restarted instance may have another address, and another one of its own may have this one. */
export function stillThere(jobId: string, address: string, jobs: readonly Reachable[]): boolean {
  const job = jobs.find(({ spec }) => spec.jobId === jobId);
  return job !== undefined && job.address === address && ["running", "stopping"].includes(job.state);
}
