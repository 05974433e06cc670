/**
 * One build from bundle to registry: unpack, decide how, build, check, push, clean up.
 *
 * Answers `built` or `failed` with the reason as data; it throws only on bugs of its own. Whatever happens, the
 * containers, images and folders that it made are gone when it returns. Stopping is one signal: a cancel, a
 * newer push, a lost lease, the time limit and the output limit all abort it with their reason.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { pack } from "tar-stream";
import type { BuildFailure } from "../core/build-failure.ts";
import { BuildStopped } from "../core/build-stopped.ts";
import { checkDockerfile } from "../core/check-dockerfile.ts";
import {
  chooseBuildpackProcesses,
  chooseDockerfileProcesses,
  type Processes,
} from "../core/choose-processes.ts";
import { type BuildSettings, detectKind } from "../core/detect-kind.ts";
import type { BuildpackRef } from "../core/parse-buildpack-url.ts";
import { parseRelease } from "../core/parse-release.ts";
import { showBuildkitLine } from "../core/read-buildkit-output.ts";
import { BuildOutput } from "./build-output.ts";
import type { Buildkit } from "./buildkit.ts";
import type { BuildEngine } from "./engine.ts";
import { resolvePublicHost } from "./public-host.ts";
import { type Source, unpackSource } from "./source-archive.ts";

export interface BuildOrder {
  readonly buildId: string;
  readonly serviceId: string;
  readonly commit: string;
  /** `<orgId>/<serviceId>` in the registry. */
  readonly repository: string;
  readonly settings: BuildSettings;
  readonly openBundle: () => Promise<Readable>;
  readonly signal: AbortSignal;
  readonly onLines: (lines: readonly string[]) => void;
  /** The platform speaking, between the build's own lines. */
  readonly onStep: (text: string) => void;
  readonly onStage: (stage: BuildStage) => void;
}

export type BuildStage = "fetched" | "built" | "pushed";

export interface RunBuildGiven {
  readonly engine: BuildEngine;
  readonly buildkit: Buildkit;
  readonly builderId: string;
  readonly workDir: string;
  readonly registry: string;
  readonly stackImage: string;
  readonly limits: BuildLimits;
  readonly extraCaFile: string | null;
  readonly npmRegistry: string | null;
  /** A URL, or `none`: pip then uses only what the repository brings. */
  readonly pypiIndex: string | null;
  /** Makes a push quick; may do nothing. */
  readonly prepareRepository: (repository: string, token: string, signal: AbortSignal) => Promise<void>;
  readonly mintPushToken: (buildId: string, repository: string) => Promise<string>;
}

export interface BuildLimits {
  readonly timeoutMs: number;
  readonly memoryBytes: number;
  readonly sourceBytes: number;
  readonly sourceEntries: number;
  readonly lineBytes: number;
  readonly outputBytes: number;
  readonly cacheBytes: number;
}

export interface BuiltImage {
  readonly kind: "dockerfile" | "buildpack";
  readonly digest: string;
  readonly sizeBytes: number;
  readonly processes: Readonly<Record<string, string>>;
  readonly port: number;
  readonly rootFilesystem: "read-only" | "writable";
  readonly runsAsRoot: boolean;
}

export type BuildResult =
  | { readonly outcome: "built"; readonly image: BuiltImage }
  | { readonly outcome: "failed"; readonly failure: BuildFailure; readonly cause?: unknown };

type LocalImage = Omit<BuiltImage, "digest">;

/** What the steps of one build share. */
interface Run {
  readonly given: RunBuildGiven;
  readonly order: BuildOrder;
  readonly dir: string;
  readonly reference: string;
  readonly signal: AbortSignal;
  readonly stop: (failure: BuildFailure) => void;
}

const DEFAULT_PORT = 8080;
const STACK_POLL_MS = 1000;
const STACK_WAIT_MS = 300_000;
const PUSH_PAUSES_MS = [1000, 4000, 10_000];
const BUILDPACKS_DIR = join(import.meta.dirname, "../../buildpacks");
const execFileAsync = promisify(execFile);

export async function runBuild(given: RunBuildGiven, order: BuildOrder): Promise<BuildResult> {
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
    signal: AbortSignal.any([order.signal, stopper.signal]),
    stop,
  };
  try {
    return { outcome: "built", image: await buildAndPush(run) };
  } catch (error) {
    return { outcome: "failed", ...explain(error, run.signal) };
  } finally {
    clearTimeout(timer);
    await rm(run.dir, { recursive: true, force: true });
    await given.engine.removeImage(run.reference).catch(() => undefined);
  }
}

async function buildAndPush(run: Run): Promise<BuiltImage> {
  const { order } = run;
  const source = await fetchSource(run);
  order.onStage("fetched");
  const kind = detectKind(source, order.settings);
  if (kind.kind === "refused") throw new BuildStopped(kind.failure);
  if (kind.kind === "buildpack" || /berth\/stack\b/.test(source.dockerfile ?? "")) await waitForStack(run);
  const image =
    kind.kind === "dockerfile"
      ? await buildDockerfile(run, source)
      : await buildWithBuildpacks(run, source, kind.custom);
  order.onStage("built");
  order.onStep(`Storing the image (${String(Math.round(image.sizeBytes / 1e6))} MB with its base)`);
  const digest = await pushImage(run);
  order.onStage("pushed");
  return { ...image, digest };
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

/** The stack with compilers and git, which stays on the builder's engine. */
function buildImage(stackImage: string): string {
  return stackImage.replace(/^berth\/stack:/, "berth/stack-build:");
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

async function buildDockerfile(run: Run, source: Source): Promise<LocalImage> {
  const { given, order } = run;
  const report = checkDockerfile(source.dockerfile ?? "");
  if (report.problems.length > 0)
    throw new BuildStopped({ code: "bad-dockerfile", problems: report.problems });
  // Read before the build, so that a broken Procfile does not cost its minutes.
  takeProcesses(chooseDockerfileProcesses(source.procfile, true));
  const contextDir = join(run.dir, "context");
  await mkdir(contextDir);
  const untar = ["-xf", source.tarPath, "-C", contextDir, "--no-same-owner", "--no-same-permissions"];
  await execFileAsync("tar", untar, { signal: run.signal });
  order.onStep("Building from the Dockerfile");
  await given.buildkit.build({
    buildId: order.buildId,
    builderId: given.builderId,
    contextDir,
    scratchDir: run.dir,
    reference: run.reference,
    buildArgs: dockerfileArgs(given, order, report.args),
    caFile: given.extraCaFile,
    labels: appLabels(order),
    output: newOutput(run, showBuildkitLine),
    signal: run.signal,
  });
  const facts = await given.engine.imageFacts(run.reference);
  const [onlyPort, ...morePorts] = facts.exposedPorts;
  return {
    kind: "dockerfile",
    sizeBytes: facts.sizeBytes,
    processes: takeProcesses(chooseDockerfileProcesses(source.procfile, facts.hasCommand)),
    port: onlyPort !== undefined && morePorts.length === 0 ? onlyPort : DEFAULT_PORT,
    rootFilesystem: facts.labels["berth.root-filesystem"] === "read-only" ? "read-only" : "writable",
    runsAsRoot: /^(?:|root|0)(?::.*)?$/.test(facts.user),
  };
}

/** Only arguments that the Dockerfile declares: BuildKit complains about others. */
function dockerfileArgs(
  given: RunBuildGiven,
  order: BuildOrder,
  declared: ReadonlySet<string>,
): Record<string, string> {
  const known: Record<string, string | null> = {
    SOURCE_VERSION: order.commit,
    NPM_CONFIG_REGISTRY: given.npmRegistry,
    PIP_INDEX_URL: given.pypiIndex === "none" ? null : given.pypiIndex,
    PIP_NO_INDEX: given.pypiIndex === "none" ? "1" : null,
  };
  const args: Record<string, string> = {};
  for (const [name, value] of Object.entries(known))
    if (value !== null && declared.has(name)) args[name] = value;
  return args;
}

async function buildWithBuildpacks(
  run: Run,
  source: Source,
  custom: readonly BuildpackRef[],
): Promise<LocalImage> {
  const { given, order } = run;
  takeProcesses(chooseBuildpackProcesses(source.procfile, { web: "unknown until the buildpack has run" }));
  const command = ["/berth/buildpacks/run", ...(await buildpackArguments(custom))];
  let containerId: string | null = null;
  try {
    const result = await given.engine.runBuildContainer(
      {
        buildId: order.buildId,
        serviceId: order.serviceId,
        image: buildImage(given.stackImage),
        sourceTarPath: source.tarPath,
        toolsTar: await packTools(given.extraCaFile),
        command,
        env: buildpackEnv(given, order),
        output: newOutput(run),
        signal: run.signal,
      },
      (id) => {
        containerId = id;
      },
    );
    if (result.outOfMemory)
      throw new BuildStopped({ code: "out-of-memory", memoryBytes: given.limits.memoryBytes });
    if (result.exitCode !== 0) throw new BuildStopped(buildpackFailure(result, source));
    const defaults = parseRelease(result.notes.get("release.yaml") ?? "");
    const processes = takeProcesses(chooseBuildpackProcesses(source.procfile, defaults));
    order.onStep("Making the image");
    await given.engine.makeAppImage({
      buildId: order.buildId,
      buildContainerId: result.containerId,
      stackImage: given.stackImage,
      reference: run.reference,
      webCommand: processes.web ?? "",
      labels: appLabels(order),
      signal: run.signal,
    });
    const { sizeBytes } = await given.engine.imageFacts(run.reference);
    return {
      kind: "buildpack",
      sizeBytes,
      processes,
      port: DEFAULT_PORT,
      rootFilesystem: "read-only",
      runsAsRoot: false,
    };
  } finally {
    if (containerId !== null) await given.engine.removeContainer(containerId);
  }
}

/** `url ref host:443:address` for each custom buildpack, its host resolved and checked. */
async function buildpackArguments(custom: readonly BuildpackRef[]): Promise<string[]> {
  const args: string[] = [];
  for (const buildpack of custom) {
    const host = await resolvePublicHost(buildpack.host);
    if (host.kind === "refused") throw new BuildStopped({ code: "bad-buildpack", detail: host.detail });
    args.push(buildpack.url, buildpack.ref ?? "", `${buildpack.host}:443:${host.address}`);
  }
  return args;
}

function buildpackEnv(given: RunBuildGiven, order: BuildOrder): Record<string, string> {
  return {
    PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    LANG: "C.UTF-8",
    STACK: "berth-bookworm",
    SOURCE_VERSION: order.commit,
    BERTH_CACHE_LIMIT_MB: String(Math.round(given.limits.cacheBytes / 1024 ** 2)),
    ...(given.npmRegistry === null ? {} : { npm_config_registry: given.npmRegistry }),
    ...(given.pypiIndex === null
      ? {}
      : given.pypiIndex === "none"
        ? { PIP_NO_INDEX: "1" }
        : { PIP_INDEX_URL: given.pypiIndex }),
  };
}

function buildpackFailure(
  result: { exitCode: number; notes: ReadonlyMap<string, string> },
  source: Source,
): BuildFailure {
  const [code, exitCode, detail = ""] = (result.notes.get("failure") ?? "").split("\n");
  if (code === "no-match") {
    if (detail === "") return { code: "no-buildpack", files: source.topFiles };
    return { code: "bad-buildpack", detail: `${detail.slice(0, 200)} does not recognise this app` };
  }
  if (code === "clone") return { code: "bad-buildpack", detail: detail.slice(0, 300) };
  const step = detail === "" ? "the build" : detail.slice(0, 200);
  return { code: "build-exit", step, exitCode: Number(exitCode ?? "") || result.exitCode };
}

/** The buildpacks and the operator's CA bundle, as a tar for /berth of the build container. */
async function packTools(extraCaFile: string | null): Promise<Buffer> {
  const tar = pack();
  for (const name of await readdir(BUILDPACKS_DIR, { recursive: true, withFileTypes: true })) {
    if (!name.isFile()) continue;
    const path = join(name.parentPath, name.name);
    const inside = `buildpacks${path.slice(BUILDPACKS_DIR.length)}`;
    tar.entry({ name: inside, mode: 0o755 }, await readFile(path));
  }
  if (extraCaFile !== null) tar.entry({ name: "extra-ca.crt", mode: 0o644 }, await readFile(extraCaFile));
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function newOutput(run: Run, show?: (line: string) => string | null): BuildOutput {
  const { lineBytes, outputBytes } = run.given.limits;
  return new BuildOutput({
    limits: { maxLineBytes: lineBytes, maxTotalBytes: outputBytes },
    onLines: run.order.onLines,
    stop: run.stop,
    ...(show === undefined ? {} : { show }),
  });
}

function appLabels(order: BuildOrder): Record<string, string> {
  return { "berth.service": order.serviceId, "berth.commit": order.commit };
}

function takeProcesses(chosen: Processes): Readonly<Record<string, string>> {
  if (chosen.kind === "refused") throw new BuildStopped(chosen.failure);
  return chosen.processes;
}

/** The reason of an abort wins over the error that the abort made somewhere else. */
function explain(error: unknown, signal: AbortSignal): { failure: BuildFailure; cause?: unknown } {
  const reason: unknown = signal.aborted ? signal.reason : error;
  if (reason instanceof BuildStopped) return { failure: reason.failure, cause: reason.cause };
  const detail = reason instanceof Error ? reason.message : String(reason);
  return { failure: { code: "platform", detail: detail.slice(0, 500) }, cause: reason };
}
