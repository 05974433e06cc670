/**
 * One build from bundle to registry: unpack, decide how, build, check, push, clean up.
 *
 * Answers `built` or `failed` with the reason as data; it throws only on bugs of its own. Whatever happens, the
 * containers, images and folders that it made are gone when it returns. Stopping is one signal: a cancel, a
 * newer push, a lost lease, the time limit and the output limit all abort it with their reason.
 */

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import type { BuildFailure } from "../core/build-failure.ts";
import { BuildStopped } from "../core/build-stopped.ts";
import { detectKind } from "../core/detect-kind.ts";
import { readSourceConfig } from "./app-config.ts";
import type { BuildOrder, BuildResult, BuiltImage, Run, RunBuildGiven } from "./build-run.ts";
import { buildImage, buildWithBuildpacks } from "./buildpack-build.ts";
import { buildDockerfile } from "./dockerfile-build.ts";
import { type EngineWatch, engineAnswers, watchEngine } from "./engine-watch.ts";
import { type Source, unpackSource } from "./source-archive.ts";

const STACK_POLL_MS = 1000;
const STACK_WAIT_MS = 300_000;
const PUSH_PAUSES_MS = [1000, 4000, 10_000];

/** An engine may be restarted under a build. */
const ENGINE_LOSSES = 2;
const ENGINE_WAIT_MS = 120_000;

/** The build starts again when its engine went away under it: that says nothing about the pushed code. */
export async function runBuild(given: RunBuildGiven, order: BuildOrder): Promise<BuildResult> {
  for (let losses = 1; ; losses += 1) {
    const engine = watchEngine(given.engine);
    try {
      const result = await runOnce(given, order, engine);
      const again = engine.signal.aborted && !order.signal.aborted && losses <= ENGINE_LOSSES;
      if (result.outcome === "built" || !again) return result;
      order.onStep("The engine that builds went away; the build starts again when it answers");
      if (!(await engineAnswers(given.engine, ENGINE_WAIT_MS, order.signal))) return result;
    } finally {
      engine.close();
    }
  }
}

async function runOnce(given: RunBuildGiven, order: BuildOrder, engine: EngineWatch): Promise<BuildResult> {
  const stopper = new AbortController();
  const stop = (failure: BuildFailure): void => stopper.abort(new BuildStopped(failure));
  const timer = setTimeout(
    () => stop({ code: "timeout", timeoutMs: given.limits.timeoutMs }),
    given.limits.timeoutMs,
  );
  await mkdir(given.workDir, { recursive: true, mode: 0o700 });
  const run: Run = {
    given,
    order,
    dir: await mkdtemp(join(given.workDir, "build-")),
    reference: `${given.registry}/${order.repository}:${order.buildId}`,
    signal: AbortSignal.any([order.signal, stopper.signal, engine.signal]),
    stop,
  };
  try {
    return { outcome: "built", image: await buildAndPush(run) };
  } catch (error) {
    await engine.isGone();
    await given.engine.removeImage(run.reference).catch(() => undefined);
    return { outcome: "failed", ...explain(error, run.signal) };
  } finally {
    clearTimeout(timer);
    await rm(run.dir, { recursive: true, force: true });
  }
}

async function buildAndPush(run: Run): Promise<BuiltImage> {
  const { order } = run;
  const source = await fetchSource(run);
  order.onStage("fetched");
  crashPoint("builder.fetched");
  const config = readSourceConfig(source, order.onStep);
  const kind = detectKind(source, order.settings);
  if (kind.kind === "refused") throw new BuildStopped(kind.failure);
  if (kind.kind === "buildpack" || /berth\/stack\b/.test(source.dockerfile ?? "")) await waitForStack(run);
  const image =
    kind.kind === "dockerfile"
      ? await buildDockerfile(run, source, config)
      : await buildWithBuildpacks(run, source, kind.custom, config);
  order.onStage("built");
  crashPoint("builder.built");
  order.onStep(`Storing the image (${String(Math.round(image.sizeBytes / 1e6))} MB with its base)`);
  const digest = await pushImage(run);
  order.onStage("pushed");
  crashPoint("builder.pushed");
  return { ...image, config: config.wishes?.config ?? null, digest };
}

/** On a new machine the stack image is still being made when the first push comes. */
async function waitForStack(run: Run): Promise<void> {
  const { engine, stackImage } = run.given;
  for (let waitedMs = 0; (await engine.imageId(buildImage(stackImage))) === null; waitedMs += STACK_POLL_MS) {
    if (waitedMs === 0) run.order.onStep("Waiting for the stack image, which is made once per machine");
    if (waitedMs > STACK_WAIT_MS) {
      throw new BuildStopped({
        code: "platform",
        detail: `the builder's engine has no image ${buildImage(stackImage)}`,
      });
    }
    await sleep(STACK_POLL_MS, undefined, { signal: run.signal }).catch(() => undefined);
    run.signal.throwIfAborted();
  }
}

/** The registry may be restarting: a failed push is tried again, each time with a fresh token. */
async function pushImage(run: Run): Promise<string> {
  const { given, order, signal } = run;
  for (let attempt = 1; ; attempt += 1) {
    const token = await given.mintPushToken(order.buildId, order.repository);
    await given.prepareRepository(order.repository, token, signal);
    try {
      const { digest } = await given.engine.push(run.reference, token, signal, () => undefined);
      return digest;
    } catch (error) {
      const pauseMs = PUSH_PAUSES_MS[attempt - 1];
      const mayPass = error instanceof BuildStopped && error.failure.code === "push-failed";
      if (!mayPass || pauseMs === undefined || signal.aborted) throw error;
      order.onStep(`The registry did not take the image; trying again in ${String(pauseMs / 1000)} s`);
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      signal.throwIfAborted();
    }
  }
}

async function fetchSource(run: Run): Promise<Source> {
  const { limits } = run.given;
  try {
    const bundle = await run.order.openBundle();
    const sourceLimits = { maxBytes: limits.sourceBytes, maxEntries: limits.sourceEntries };
    return await unpackSource(bundle, join(run.dir, "source.tar"), sourceLimits, run.signal);
  } catch (error) {
    if (error instanceof BuildStopped || run.signal.aborted) throw error;
    const detail = error instanceof Error ? error.message : String(error);
    throw new BuildStopped({ code: "source-unavailable", detail: detail.slice(0, 300) }, { cause: error });
  }
}

/** The reason of an abort wins over the error that the abort made somewhere else. */
export function explain(error: unknown, signal: AbortSignal): { failure: BuildFailure; cause?: unknown } {
  const reason: unknown = signal.aborted ? signal.reason : error;
  if (reason instanceof BuildStopped) return { failure: reason.failure, cause: reason.cause };
  const detail = reason instanceof Error ? reason.message : String(reason);
  return { failure: { code: "platform", detail: detail.slice(0, 500) }, cause: reason };
}
