/** Carries out one step of one job. A kind of step without an executor does not compile. */

import { isFinal } from "@berth/shared/domain/job-state.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import { recordSpan } from "@berth/shared/kit/telemetry.ts";
import { ADDRESS_LABEL, etcFiles } from "../core/container-network.ts";
import { containerBody, containerName } from "../core/container-profile.ts";
import * as job from "../core/job-record.ts";
import { launchCommand } from "../core/launch-command.ts";
import type { Step } from "../core/next-step.ts";
import { renderEnv } from "../core/render-env.ts";
import { EngineError, mayHaveWorked } from "../outbound/engine-call.ts";
import { probe, probePauseMs } from "../outbound/readiness-probe.ts";
import { asStage } from "./as-stage.ts";
import { freeze, noteAsleep, putToSleep, thaw, wake } from "./execute-sleep.ts";
import { noteStarted, start } from "./execute-start.ts";
import type { JobWorker } from "./job-worker.ts";
import { judgeMemory, noteOomKills } from "./memory-watch.ts";
import { openEnvelope } from "./open-envelope.ts";

type StepOf<K extends Step["kind"]> = Extract<Step, { kind: K }>;
type Executors = { readonly [K in Step["kind"]]: (worker: JobWorker, step: StepOf<K>) => Promise<void> };

/** `accepted` asks for the envelope; it is told again this often. */
const ASK_AGAIN_MS = 2000;
const LOOK_AGAIN_MS = 5000;
const LAST_LINES = 20;
const TASK_LOOK_MS = 500;
/** A container that failed, or a task's, stays this long, so that the log shipper reads its last lines. */
const FAILED_STAYS_MS = 1000;

const EXECUTORS: Executors = {
  "wait-envelope": async (worker) => {
    await worker.pause(ASK_AGAIN_MS);
    if (worker.record.envelope === null && !worker.closed) worker.given.report(worker.record);
  },
  pull,
  "write-secrets": writeSecrets,
  create,
  start,
  "watch-ready": watchReady,
  watch: async (worker, step) => {
    await worker.pause(LOOK_AGAIN_MS);
    await noteOomKills(worker, step.containerId);
  },
  "note-exit": noteExit,
  "note-gone": noteGone,
  "note-reboot": async (worker, step) => {
    worker.setSecretsWritten(false);
    await worker.apply(job.rebooted(worker.record, step.attempt, worker.given.bootId)).saved;
  },
  "wait-until": (worker, step) => worker.pause(Math.max(1, step.atMs - worker.given.clock.nowMs())),
  stop,
  "stop-for-lease": stopForLease,
  "wait-lease": (worker) => worker.pause(LOOK_AGAIN_MS),
  "put-to-sleep": (worker, step) => putToSleep(worker, step.containerId),
  freeze: (worker, step) => freeze(worker, step.containerId),
  "note-asleep": noteAsleep,
  "wait-asleep": (worker) => worker.pause(60_000),
  wake,
  thaw: (worker, step) => thaw(worker, step.containerId),
  remove,
  "wipe-secrets": async (worker) => {
    await worker.given.secrets.wipe(worker.jobId);
    worker.setSecretsWritten(false);
  },
  finish: async (worker) => {
    await worker.apply(job.finished(worker.record, null)).saved;
    worker.given.log.info("job.finished", { jobId: worker.jobId, exitCode: worker.record.exitCode });
  },
  "wait-acknowledged": async (worker) => {
    await worker.pause(LOOK_AGAIN_MS);
    if (worker.record.acknowledged < worker.record.sequence) worker.given.report(worker.record);
  },
  "wait-desired": (worker) => worker.pause(60_000),
  forget: async () => {},
};

export async function executeStep(worker: JobWorker, step: Step): Promise<void> {
  const execute = EXECUTORS[step.kind] as (worker: JobWorker, step: Step) => Promise<void>;
  await execute(worker, step);
}

function imageReference(worker: JobWorker): string {
  const { image } = worker.record.spec;
  return `${worker.given.registry}/${image.repository}@${image.digest}`;
}

async function pull(worker: JobWorker): Promise<void> {
  const { puller, registry } = worker.given;
  const reference = imageReference(worker);
  await asStage(worker, "pull", async () => {
    worker.imagePresent = (await puller.look(reference)) !== null;
    if (worker.imagePresent) return;
    const envelope = await openedEnvelope(worker);
    try {
      if (envelope !== null) await puller.pull(reference, registry, envelope.pullToken);
    } catch (error) {
      // A pull whose answer broke off may be whole all the same.
      if ((await puller.lookAgain(reference)) === null) throw error;
    }
    crashPoint("agent.pulled");
    worker.imagePresent = (await puller.lookAgain(reference)) !== null;
  });
  if (!worker.imagePresent && !isFinal(worker.record.state)) {
    throw new EngineError("pull", 404, new Error("the image is not there after the pull"));
  }
}

/** An envelope that this host's key cannot open ends the job: only a new award brings another one. */
async function openedEnvelope(worker: JobWorker) {
  const { record, given } = worker;
  if (record.envelope === null) return null;
  if (worker.opened !== null) return worker.opened;
  const opened = openEnvelope(given.curve, record.envelope, { ...record.spec, hostId: given.hostId });
  if (opened === null) {
    given.log.error("envelope.unreadable", { jobId: worker.jobId });
    const reason = "the host's key cannot open the job's secrets: was curve.seed replaced?";
    await worker.apply(job.failedForGood(record, "start-failed", reason)).saved;
  }
  return opened;
}

async function writeSecrets(worker: JobWorker): Promise<void> {
  const envelope = await openedEnvelope(worker);
  if (envelope === null) return;
  const file = renderEnv(worker.record.spec, envelope.variables);
  if (file.kind === "refused") {
    await worker.apply(job.failedForGood(worker.record, "start-failed", file.reason)).saved;
    return;
  }
  await worker.given.secrets.write(worker.jobId, file.text);
  worker.opened = null;
  worker.setSecretsWritten(true);
}

async function create(worker: JobWorker, step: StepOf<"create">): Promise<void> {
  const { given } = worker;
  const { spec } = worker.record;
  const reference = imageReference(worker);
  const image = await given.puller.look(reference);
  if (image === null) {
    worker.imagePresent = false;
    return;
  }
  const argv = launchCommand(spec.command, image);
  if (argv === null) {
    const reason = "neither the Procfile nor the image names a command";
    await worker.apply(job.failedForGood(worker.record, "start-failed", reason)).saved;
    return;
  }
  const { place, ...network } = await given.networks.ensure(spec.environmentId);
  worker.apply(job.attemptMade(worker.record, step.attempt, given.bootId));
  const name = containerName(spec, step.attempt);
  const [secretsFolder, etcFolder] = [given.secrets.folder(spec.jobId), given.secrets.etcFolder(spec.jobId)];
  const common = {
    ...{ ...given, ...network, attempt: step.attempt, imageReference: reference, argv },
    ...{ secretsFolder, etcFolder },
  };
  const ask = { jobId: spec.jobId, environmentId: spec.environmentId, wanted: worker.record.lastAddress };
  await given.cables.withAddress(ask, place, async (address) => {
    const body = containerBody(spec, { ...common, address });
    given.secrets.writeEtc(spec.jobId, etcFiles({ ...network, hostname: body.Hostname, address }));
    const made = await asStage(worker, "create", () =>
      given.starts.run("create", worker.place, () => createOrAdopt(worker, name, body, address)),
    ).catch(async (error: unknown) => {
      const isAbsent = error instanceof EngineError && error.status === 404;
      if (!isAbsent || (await given.puller.lookAgain(reference)) !== null) throw error;
      return null;
    });
    if (made === null) {
      worker.imagePresent = false;
      return;
    }
    crashPoint("agent.created");
    given.index.put(spec.jobId, { ...made, epoch: spec.epoch, attempt: step.attempt, state: "created" });
  });
}

/** A create that failed may have worked all the same: the name tells. */
async function createOrAdopt(
  worker: JobWorker,
  name: string,
  body: ReturnType<typeof containerBody>,
  address: string,
): Promise<{ readonly id: string; readonly address: string | null }> {
  const { engine } = worker.given;
  try {
    return { id: await engine.create(name, body), address };
  } catch (error) {
    const isTaken = error instanceof EngineError && error.status === 409;
    const found = isTaken || mayHaveWorked(error) ? await engine.findByName(name) : null;
    // It has the address that it was made with.
    if (found?.labels["berth.job"] === worker.jobId)
      return { id: found.id, address: found.labels[ADDRESS_LABEL] ?? null };
    throw error;
  }
}

async function watchReady(worker: JobWorker, step: StepOf<"watch-ready">): Promise<void> {
  const { given } = worker;
  const { attempt, address, resume } = worker.record;
  // Adopted: the agent died between the start and its note.
  if (address === null || attempt !== step.attempt || resume)
    await noteStarted(worker, step.containerId, step.attempt);
  const beganMs = given.clock.monotonicMs();
  const stillRuns = () =>
    !worker.closed &&
    !worker.record.stopWanted &&
    worker.record.sleep === null &&
    given.leases.stateOf(worker.record) !== "ended" &&
    given.index.of(worker.jobId).some(({ id, state }) => id === step.containerId && state === "running");
  for (let tries = 0; stillRuns(); tries++) {
    if (await isReady(worker)) {
      crashPoint("agent.ready-not-told");
      return noteReady(worker);
    }
    if (given.clock.nowMs() >= step.deadlineAtMs) return killForDeadline(worker, step.containerId);
    if (worker.record.spec.task !== null) {
      await worker.pause(TASK_LOOK_MS);
      continue;
    }
    const pauseMs = probePauseMs(tries, given.clock.monotonicMs() - beganMs);
    await (pauseMs >= 50 ? worker.pause(pauseMs) : sleep(pauseMs));
  }
}

async function isReady(worker: JobWorker): Promise<boolean> {
  const { spec, address, startedAtMs } = worker.record;
  if (address === null || startedAtMs === null || spec.task !== null) return false;
  if (spec.process !== "web") return worker.given.clock.nowMs() - startedAtMs >= spec.readiness.aliveMs;
  return probe({ address, port: spec.profile.port, httpPath: spec.readiness.httpPath });
}

function noteReady(worker: JobWorker): void {
  const { clock, log } = worker.given;
  const before = worker.record;
  worker.apply(job.becameReady(before, clock.nowMs()));
  const { spec, startedAtMs, address } = worker.record;
  const endedAtMs = clock.nowMs();
  recordSpan({
    name: "job.ready",
    parent: spec.traceparent,
    startedAtMs: startedAtMs ?? endedAtMs,
    endedAtMs,
    attributes: { "berth.job": spec.jobId, "berth.epoch": spec.epoch },
  });
  log.info("job.ready", {
    jobId: spec.jobId,
    epoch: spec.epoch,
    address,
    sinceAcceptedMs: endedAtMs - before.acceptedAtMs,
  });
}

async function killForDeadline(worker: JobWorker, containerId: string): Promise<void> {
  worker.killedForDeadline = containerId;
  await worker.given.engine.signal(containerId, "SIGKILL");
  await waitForExit(worker, containerId);
}

/** After a kill the engine needs a moment; the look that follows decides. */
async function waitForExit(worker: JobWorker, containerId: string): Promise<void> {
  for (let tries = 0; tries < 50; tries++) {
    const seen = await worker.given.engine.inspect(containerId);
    if (seen === null) return worker.given.index.drop(worker.jobId, containerId);
    worker.given.index.setState(worker.jobId, containerId, seen.state);
    if (seen.state !== "running") return;
    await sleep(50);
  }
}

async function noteExit(worker: JobWorker, step: StepOf<"note-exit">): Promise<void> {
  const { engine, index, clock, log } = worker.given;
  const seen = await engine.inspect(step.containerId);
  if (seen === null) return index.drop(worker.jobId, step.containerId);
  index.setState(worker.jobId, step.containerId, seen.state);
  if (seen.state !== "exited") return;
  const exit = {
    exitCode: seen.exitCode,
    ...(await judgeMemory(worker, step.containerId, seen)),
    missedDeadline: worker.killedForDeadline === step.containerId,
    lastLines: await engine.lastLines(step.containerId, LAST_LINES).catch(() => []),
  };
  const { saved } = worker.apply(job.exited(worker.record, step.attempt, exit, clock.nowMs()));
  const { state, reasonCode, restartsCount } = worker.record;
  log.info("job.exited", {
    jobId: worker.jobId,
    attempt: step.attempt,
    state,
    reasonCode,
    exitCode: exit.exitCode,
    restartsCount,
  });
  await saved;
}

/** A list may lack a container that is there: before it is called gone, it is asked for by its name. */
async function noteGone(worker: JobWorker, step: StepOf<"note-gone">): Promise<void> {
  const { engine, index } = worker.given;
  const { spec } = worker.record;
  const found = await engine.findByName(containerName(spec, step.attempt));
  const seen = found?.labels["berth.job"] === spec.jobId ? await engine.inspect(found.id) : null;
  if (found !== null && seen !== null && seen.state !== "removing") {
    index.put(spec.jobId, { id: found.id, epoch: spec.epoch, attempt: step.attempt, state: seen.state });
    return;
  }
  const exit = { exitCode: null, outOfMemory: false, missedDeadline: false, lastLines: [] };
  const { saved } = worker.apply(job.exited(worker.record, step.attempt, exit, worker.given.clock.nowMs()));
  worker.given.log.warn("job.container-gone", { jobId: worker.jobId, attempt: step.attempt });
  await saved;
}

async function stop(worker: JobWorker, step: StepOf<"stop">): Promise<void> {
  const { engine, index } = worker.given;
  const { record } = worker;
  if (record.stopWanted && !isFinal(record.state)) worker.apply(job.stopping(record));
  await engine.stop(step.containerId, isFinal(record.state) ? 1000 : record.spec.stopGraceMs);
  crashPoint("agent.stopped-not-removed");
  const seen = await engine.inspect(step.containerId);
  if (seen === null) return index.drop(worker.jobId, step.containerId);
  index.setState(worker.jobId, step.containerId, seen.state);
  if (seen.exitCode !== null && record.stopWanted)
    worker.apply({ ...worker.record, exitCode: seen.exitCode });
}

async function stopForLease(worker: JobWorker, step: StepOf<"stop-for-lease">): Promise<void> {
  const { engine, index, log } = worker.given;
  const { spec } = worker.record;
  log.warn("job.lease-ended", { jobId: spec.jobId, epoch: spec.epoch, afterMs: spec.partition.stopAfterMs });
  await engine.stop(step.containerId, spec.stopGraceMs);
  const seen = await engine.inspect(step.containerId);
  if (seen === null) index.drop(worker.jobId, step.containerId);
  else index.setState(worker.jobId, step.containerId, seen.state);
  if (seen?.state !== "running") await worker.apply(job.leaseEnded(worker.record, step.attempt)).saved;
}

async function remove(worker: JobWorker, step: StepOf<"remove">): Promise<void> {
  const { engine, index } = worker.given;
  const { state, spec } = worker.record;
  if (state === "failed" || (state === "finished" && spec.task !== null)) await sleep(FAILED_STAYS_MS);
  for (const id of step.containerIds) {
    await engine.remove(id);
    index.drop(worker.jobId, id);
  }
}
