/**
 * Builds a pushed tree with buildpacks, in one container of the build stack.
 *
 * The platform's part runs inside as `/berth/buildpacks/run`, from this service's own folder, so buildpacks change
 * with the builder and not with the stack image. It leaves notes in /tmp/berth that are read when it has ended.
 */

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { pack } from "tar-stream";
import type { BuildFailure } from "../core/build-failure.ts";
import { BuildStopped } from "../core/build-stopped.ts";
import { chooseBuildpackProcesses } from "../core/choose-processes.ts";
import { DEFAULT_PORT } from "../core/image-profile.ts";
import type { BuildpackRef } from "../core/parse-buildpack-url.ts";
import { parseRelease } from "../core/parse-release.ts";
import { checkConfigured, type SourceConfig } from "./app-config.ts";
import {
  appLabels,
  type BuildOrder,
  type LocalImage,
  newOutput,
  type Run,
  type RunBuildGiven,
  takeProcesses,
} from "./build-run.ts";
import { resolvePublicHost } from "./public-host.ts";
import type { Source } from "./source-archive.ts";

const BUILDPACKS_DIR = join(import.meta.dirname, "../../buildpacks");

/** The stack with compilers and git, which stays on the builder's engine. */
export function buildImage(stackImage: string): string {
  return stackImage.replace(/^berth\/stack:/, "berth/stack-build:");
}

export async function buildWithBuildpacks(
  run: Run,
  source: Source,
  custom: readonly BuildpackRef[],
  config: SourceConfig,
): Promise<LocalImage> {
  const { given, order } = run;
  const commands = config.wishes?.commands ?? {};
  const unknown = { web: "unknown until the buildpack has run" };
  const early = takeProcesses(chooseBuildpackProcesses(source.procfile, unknown, commands));
  // With a Procfile the buildpack's own processes do not count, so a wrong name need not wait for the build.
  if (source.procfile !== null) checkConfigured(config, early);
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
    const processes = takeProcesses(chooseBuildpackProcesses(source.procfile, defaults, commands));
    checkConfigured(config, processes);
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
