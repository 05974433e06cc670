/** A step of a job as a stage of its deploy. */
import { recordSpan } from "@berth/shared/kit/telemetry.ts";
import * as job from "../core/job-record.ts";
import type { JobWorker } from "./job-worker.ts";

/** Runs the work and notes how long it took, in the record and in the deploy's trace. */
export async function asStage<T>(worker: JobWorker, name: string, work: () => Promise<T>): Promise<T> {
  const startedAtMs = worker.given.clock.nowMs();
  let failed = true;
  try {
    const result = await work();
    failed = false;
    return result;
  } finally {
    const endedAtMs = worker.given.clock.nowMs();
    const { spec } = worker.record;
    recordSpan({
      name: `job.${name}`,
      parent: spec.traceparent,
      startedAtMs,
      endedAtMs,
      failed,
      attributes: { "berth.job": spec.jobId, "berth.epoch": spec.epoch },
    });
    if (!failed) worker.apply(job.stageDone(worker.record, name, startedAtMs, endedAtMs));
  }
}
