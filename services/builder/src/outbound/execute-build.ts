/**
 * Carries one claimed build to its end: runs it, keeps its lease, stores its log and its outcome.
 *
 * The lease is renewed every second or so, and that same statement stores new output and learns about cancels.
 * When the lease cannot be renewed until it ends, the build is stopped here: another builder may have it by then.
 */
import type { ProcessTable } from "@berth/shared/contracts/build.ts";
import type { Stage } from "@berth/shared/domain/deploy-state.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import type { ObjectStore } from "@berth/shared/kit/object-store.ts";
import { recordSpan } from "@berth/shared/kit/telemetry.ts";
import { BuildStopped } from "../core/build-stopped.ts";
import type { BuildResult, BuildStage, RunBuildGiven } from "./build-run.ts";
import { type Ending, finishBuild, renewBuild } from "./build-store.ts";
import { BuildProgress } from "./progress.ts";
import { mintPushToken } from "./push-tokens.ts";
import { type ClaimedBuild, giveBack, stopFailure } from "./queue-store.ts";
import { runBuild } from "./run-build.ts";
import { type RunImageGiven, runImage } from "./run-image.ts";
import type { Db } from "./tables.ts";

export interface ExecuteGiven {
  readonly db: Db;
  readonly bus: Bus;
  readonly log: Log;
  readonly objects: ObjectStore;
  readonly leaseMs: number;
  readonly build: Omit<RunBuildGiven, "mintPushToken">;
  readonly image: Omit<RunImageGiven, "mintPushToken">;
  /** Called after the end is stored. */
  readonly onFinished: () => void;
}

class LeaseLost extends Error {
  override name = "LeaseLost";
}

const RENEW_MS = 1000;
const FINISH_TRIES = 60;
const FINISH_PAUSE_MS = 2000;

export async function executeBuild(
  given: ExecuteGiven,
  claim: ClaimedBuild,
  shutdown: AbortSignal,
): Promise<void> {
  const log = given.log.with({
    buildId: claim.id,
    deployId: claim.deployId,
    serviceId: claim.serviceId,
    orgId: claim.orgId,
  });
  crashPoint("builder.claimed");
  const progress = new BuildProgress(given.bus, claim.deployId);
  const stop = new AbortController();
  const finished = new AbortController();
  const onShutdown = (): void => stop.abort(shutdown.reason);
  shutdown.addEventListener("abort", onShutdown, { once: true });
  const stages = new StageClock(claim);
  const what = claim.source.kind === "image" ? "Fetching the image" : "Build started";
  progress.step(claim.attempt === 1 ? what : `${what}, again (attempt ${String(claim.attempt)})`);
  const renewing = keepLease(given, claim, progress, stop, finished.signal, log);
  try {
    const result = await run(given, claim, progress, stages, stop.signal);
    finished.abort();
    await renewing;
    if (shutdown.aborted && result.outcome === "failed") return await giveBack(given.db, claim);
    if (stop.signal.reason instanceof LeaseLost)
      return log.warn("build.lease-lost", { attempt: claim.attempt });
    crashPoint("builder.built-not-stored");
    await store(given, claim, progress, stages, result, log);
  } catch (error) {
    // The lease ends by itself, and the build is then taken up again.
    log.error("build.not-stored", { error: describeError(error) });
  } finally {
    finished.abort();
    shutdown.removeEventListener("abort", onShutdown);
  }
}

async function run(
  given: ExecuteGiven,
  claim: ClaimedBuild,
  progress: BuildProgress,
  stages: StageClock,
  signal: AbortSignal,
): Promise<BuildResult> {
  const { source } = claim;
  const tokens = {
    mintPushToken: (_buildId: string, repository: string) =>
      mintPushToken(given.bus, claim.id, repository, signal),
  };
  const order = {
    buildId: claim.id,
    repository: repositoryOf(claim),
    signal,
    onStep: (text: string) => progress.step(text),
    onStage: (stage: BuildStage) => stages.end(stage),
  };
  const result =
    source.kind === "image"
      ? await runImage({ ...given.image, ...tokens }, { ...order, image: source.image })
      : await runBuild(
          { ...given.build, ...tokens },
          {
            ...order,
            serviceId: claim.serviceId,
            commit: source.commit,
            // A service has no build settings of its own yet: the repository's files decide.
            settings: { kind: "auto", buildpackUrl: null },
            openBundle: () => given.objects.get(source.bundleKey),
            onLines: (lines) => progress.output(lines),
          },
        );
  stages.finish();
  return result;
}

function repositoryOf(claim: ClaimedBuild): string {
  return `${claim.orgId}/${claim.serviceId}`;
}

async function keepLease(
  given: ExecuteGiven,
  claim: ClaimedBuild,
  progress: BuildProgress,
  stop: AbortController,
  finished: AbortSignal,
  log: Log,
): Promise<void> {
  let heldUntilMs = performance.now() + given.leaseMs;
  while (!finished.aborted) {
    await sleep(RENEW_MS, finished);
    if (finished.aborted) return;
    const text = progress.takeUnstored();
    const askedAtMs = performance.now();
    try {
      const renewal = await renewBuild(given.db, claim, given.leaseMs, text);
      if (renewal.kind === "lost") return stop.abort(new LeaseLost("another builder has this build"));
      heldUntilMs = askedAtMs + given.leaseMs;
      if (renewal.stop !== null)
        stop.abort(new BuildStopped(stopFailure(renewal.stop, renewal.supersededBy)));
    } catch (error) {
      progress.putBack(text);
      log.warn("build.lease-not-renewed", { error: describeError(error) });
      if (performance.now() > heldUntilMs)
        return stop.abort(new LeaseLost("the lease could not be renewed in time"));
    }
  }
}

async function store(
  given: ExecuteGiven,
  claim: ClaimedBuild,
  progress: BuildProgress,
  stages: StageClock,
  result: BuildResult,
  log: Log,
): Promise<void> {
  const ending = toEnding(claim, result);
  progress.flush();
  const text = progress.takeUnstored();
  for (let attempt = 1; ; attempt += 1) {
    try {
      const stored = await finishBuild(given.db, claim, ending, stages.all(), text);
      if (!stored) return log.warn("build.lease-lost", { attempt: claim.attempt });
      break;
    } catch (error) {
      if (attempt >= FINISH_TRIES) throw error;
      log.warn("build.not-stored-yet", { error: describeError(error) });
      await sleep(FINISH_PAUSE_MS);
    }
  }
  crashPoint("builder.stored");
  given.onFinished();
  const failed = ending.outcome === "failed";
  for (const stage of stages.all()) {
    const { name, startedAtMs, endedAtMs } = stage;
    recordSpan({ name: `build.${name}`, parent: claim.traceparent, startedAtMs, endedAtMs });
  }
  log.info("build.finished", {
    outcome: failed ? ending.failure.code : "succeeded",
    attempt: claim.attempt,
    stages: Object.fromEntries(
      stages.all().map((stage) => [stage.name, Math.round(stage.endedAtMs - stage.startedAtMs)]),
    ),
    ...(result.outcome === "failed" && result.cause !== undefined
      ? { error: describeError(result.cause) }
      : {}),
  });
}

function toEnding(claim: ClaimedBuild, result: BuildResult): Ending {
  if (result.outcome === "failed") return { outcome: "failed", failure: result.failure };
  const { kind, digest, sizeBytes, processes, port, rootFilesystem, runsAsRoot, config } = result.image;
  const table: ProcessTable = {};
  for (const [name, command] of Object.entries(processes)) table[name] = { command };
  return {
    outcome: "succeeded",
    success: {
      kind,
      imageRepository: repositoryOf(claim),
      imageDigest: digest,
      imageBytes: sizeBytes,
      processes: table,
      profile: { port, rootFilesystem, runsAsRoot },
      ...(config === null ? {} : { config }),
    },
  };
}

const STAGE_NAMES: Record<BuildStage, string> = { fetched: "fetch", built: "build", pushed: "push" };

/** Stages one after the other without gaps, from the push's arrival in the queue. */
class StageClock {
  readonly #stages: Stage[];
  #sinceMs: number;
  #open: string | null = "fetch";

  constructor(claim: ClaimedBuild) {
    this.#sinceMs = Math.max(claim.startedAtMs, claim.queuedAtMs);
    this.#stages = [{ name: "queue", startedAtMs: claim.queuedAtMs, endedAtMs: this.#sinceMs }];
  }

  end(stage: BuildStage): void {
    this.#close(STAGE_NAMES[stage]);
    this.#open = stage === "fetched" ? "build" : stage === "built" ? "push" : "clean-up";
  }

  /** Closes the stage in which a build failed. */
  finish(): void {
    if (this.#open !== null) this.#close(this.#open);
    this.#open = null;
  }

  all(): readonly Stage[] {
    return this.#stages;
  }

  #close(name: string): void {
    const nowMs = Math.max(Date.now(), this.#sinceMs);
    this.#stages.push({ name, startedAtMs: this.#sinceMs, endedAtMs: nowMs });
    this.#sinceMs = nowMs;
  }
}
