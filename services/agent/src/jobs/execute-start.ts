/** The start of a container, and what is read of it then. */
import { sleep } from "@berth/shared/kit/clock.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import { etcFiles } from "../core/container-network.ts";
import { hostnameOf } from "../core/container-profile.ts";
import * as job from "../core/job-record.ts";
import type { Step } from "../core/next-step.ts";
import type { Inspected } from "../outbound/docker.ts";
import { mayHaveWorked } from "../outbound/engine-call.ts";
import { asStage } from "./as-stage.ts";
import { asWake } from "./execute-sleep.ts";
import type { JobWorker } from "./job-worker.ts";

type StartStep = Extract<Step, { kind: "start" }>;

/** An engine has begun with a start by then, and none has ended with it. */
const ASK_DURING_START_MS = 25;

export async function start(worker: JobWorker, step: StartStep): Promise<void> {
  const { index, starts } = worker.given;
  await writeEtc(worker, step.containerId);
  let asked: Promise<Inspected | null> = Promise.resolve(null);
  await asStage(worker, "start", () =>
    starts.run("start", worker.place, async () => {
      asked = askDuringStart(worker, step.containerId);
      await asWake(worker, () => startOrAdopt(worker, step.containerId));
    }),
  );
  crashPoint("agent.started");
  index.setState(worker.jobId, step.containerId, "running");
  await noteStarted(worker, step.containerId, step.attempt, await Promise.race([asked, waited()]));
}

/** What sleeps lost its files with its secrets. */
async function writeEtc({ given, record, jobId }: JobWorker, containerId: string): Promise<void> {
  const address = given.index.of(jobId).find(({ id }) => id === containerId)?.address;
  if (address === undefined || address === null) return;
  const { resolver } = await given.networks.ensure(record.spec.environmentId);
  given.secrets.writeEtc(jobId, etcFiles({ hostname: hostnameOf(record.spec), address, resolver }));
}

/** An answer that does not come with the start's is asked for anew. */
async function waited(): Promise<null> {
  await sleep(ASK_DURING_START_MS);
  return null;
}

/** The engine answers this when the start ends: one way to it and back less. Null when it said nothing of use. */
async function askDuringStart({ given }: JobWorker, containerId: string): Promise<Inspected | null> {
  await sleep(ASK_DURING_START_MS);
  const seen = await given.engine.inspect(containerId).catch(() => null);
  return seen?.state === "running" && seen.address !== null ? seen : null;
}

/** A start that failed may have worked all the same: what runs, runs. */
async function startOrAdopt({ given }: JobWorker, containerId: string): Promise<void> {
  try {
    await given.engine.start(containerId);
  } catch (error) {
    const seen = mayHaveWorked(error) ? await given.engine.inspect(containerId) : null;
    if (seen?.startedAtMs == null) throw error;
  }
}

/** Reads the start time back, and lays the cable. A container that ended at once is left to the next look. */
export async function noteStarted(
  worker: JobWorker,
  containerId: string,
  attempt: number,
  known: Inspected | null = null,
): Promise<void> {
  const { engine, index, clock, ports, networks, cables } = worker.given;
  const seen = known ?? (await engine.inspect(containerId));
  if (seen === null) return index.drop(worker.jobId, containerId);
  index.setState(worker.jobId, containerId, seen.state);
  worker.memory.begin(containerId, seen.pid);
  if (seen.state !== "running" || seen.address === null) {
    // What a wake started and what ended then is not started for that wake again.
    if (worker.record.resume) worker.apply({ ...worker.record, resume: false });
    return;
  }
  const { place } = await networks.ensure(worker.record.spec.environmentId);
  const laid = seen.device === null ? null : cables.lay({ containerId, pid: seen.pid }, seen.address, place);
  void ports.note(containerId, seen);
  await laid;
  worker.apply(job.started(worker.record, attempt, seen.address, seen.startedAtMs ?? clock.nowMs()));
}
