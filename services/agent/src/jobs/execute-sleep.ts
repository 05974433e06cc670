/** The steps of sleep: containers stop and start, or pause and go on; the record says what was done. */
import { awoke, fellAsleep, froze, lyingDown } from "../core/sleep-record.ts";
import type { JobWorker } from "./job-worker.ts";

export async function putToSleep(worker: JobWorker, containerId: string): Promise<void> {
  const { engine, index, log } = worker.given;
  const { spec } = worker.record;
  log.info("job.put-to-sleep", { jobId: spec.jobId, epoch: worker.record.sleep?.epoch });
  worker.apply(lyingDown(worker.record));
  await engine.stop(containerId, spec.stopGraceMs);
  const seen = await engine.inspect(containerId);
  if (seen === null) index.drop(worker.jobId, containerId);
  else index.setState(worker.jobId, containerId, seen.state);
  // Noted also when it was woken meanwhile: that it was stopped is no exit of the app.
  if (seen?.state !== "running" && seen?.state !== "paused") await noteAsleep(worker);
}

export async function noteAsleep(worker: JobWorker): Promise<void> {
  await worker.apply(fellAsleep(worker.record, worker.record.sleep?.level === "away")).saved;
}

export async function freeze(worker: JobWorker, containerId: string): Promise<void> {
  worker.apply(lyingDown(worker.record));
  await worker.given.engine.freeze(containerId, "pause");
  const seen = await worker.given.engine.inspect(containerId);
  if (seen === null) return worker.given.index.drop(worker.jobId, containerId);
  worker.given.index.setState(worker.jobId, containerId, seen.state);
  if (seen.state === "paused") worker.apply(froze(worker.record));
}

/** Either its memory counts again, or the job ends here and goes to the auction. */
export async function wake(worker: JobWorker): Promise<void> {
  await worker.given.admit(worker);
}

export async function thaw(worker: JobWorker, containerId: string): Promise<void> {
  const { engine, index, bootId, clock } = worker.given;
  await asWake(worker, () => engine.freeze(containerId, "unpause"));
  index.setState(worker.jobId, containerId, "running");
  worker.apply(awoke(worker.record, bootId, clock.nowMs()));
}

/** Tells where the time of a wake went, once: what the engine did, and what was before it. */
export async function asWake(worker: JobWorker, work: () => Promise<void>): Promise<void> {
  const { clock, log } = worker.given;
  const engineFromMs = clock.nowMs();
  await work();
  const { jobId, wokenAtMs } = worker;
  if (wokenAtMs === null) return;
  worker.wokenAtMs = null;
  log.info("job.woken", { jobId, wokenAtMs, engineFromMs, engineToMs: clock.nowMs() });
}
