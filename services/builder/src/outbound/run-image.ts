/**
 * Takes a ready image: reads it, checks that it can run here, copies what the pod's registry lacks of it and pins it by
 * its digest. Like a build it answers `built` or `failed` with the reason as data.
 *
 * Held in by a limit of bytes, the time of a build, and `public-get.ts`: a customer's text never makes the platform
 * call a private address.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { type ImageReference, parseImageReference } from "@berth/shared/domain/image-reference.ts";
import { formatBytes } from "@berth/shared/domain/resources.ts";
import type { BuildFailure } from "../core/build-failure.ts";
import { BuildStopped } from "../core/build-stopped.ts";
import { type ImageManifest, type Read, readConfig, readManifest } from "../core/read-image.ts";
import type { BuildOrder, BuildResult, BuiltImage } from "./build-run.ts";
import { type ImageSource, openImageSource } from "./image-source.ts";
import { hasBlob, putBlob, putManifest, type TargetGiven } from "./image-target.ts";
import { explain } from "./run-build.ts";

export interface RunImageGiven {
  /** `host:port` of the pod's registry, and the same as a URL. */
  readonly registry: string;
  readonly registryUrl: string;
  readonly ownRegistries: readonly string[];
  readonly limits: { readonly imageBytes: number; readonly timeoutMs: number };
  readonly mintPushToken: (buildId: string, repository: string) => Promise<string>;
}

export type ImageRun = Pick<BuildOrder, "buildId" | "repository" | "signal" | "onStep" | "onStage"> & {
  readonly image: string;
};

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

export async function runImage(given: RunImageGiven, order: ImageRun): Promise<BuildResult> {
  const { timeoutMs } = given.limits;
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new BuildStopped({ code: "timeout", timeoutMs })), timeoutMs);
  const signal = AbortSignal.any([order.signal, late.signal]);
  try {
    return { outcome: "built", image: await take(given, { ...order, signal }) };
  } catch (error) {
    return { outcome: "failed", ...explain(error, signal) };
  } finally {
    clearTimeout(timer);
  }
}

async function take(given: RunImageGiven, order: ImageRun): Promise<BuiltImage> {
  const { registry, registryUrl, ownRegistries } = given;
  const { signal, repository } = order;
  const named = parseImageReference(order.image);
  if (named === null) throw refused(`${JSON.stringify(order.image)} names no image`);
  const isOwn = named.registry === registry;
  if (isOwn && named.repository !== repository) throw refused("it is another service's");
  order.onStep(`Reading ${order.image}`);
  const token = await given.mintPushToken(order.buildId, repository);
  const own = isOwn ? { origin: registryUrl, token } : null;
  const source = openImageSource({ named, signal, ownRegistries, own });
  const { manifest, raw } = await findManifest(source, named, given.limits.imageBytes);
  const config = await readBlob(source, manifest);
  const { profile } = must(readConfig(config, architecture()));
  order.onStage("fetched");
  const target = { registryUrl, repository, token, signal };
  await copyBlobs(order, source, target, manifest);
  await putManifest(target, order.buildId, { mediaType: manifest.mediaType, text: raw });
  order.onStage("pushed");
  const digest = digestOf(raw);
  order.onStep(`The image is ${digest}`);
  const sizeBytes = manifest.layersBytes;
  return { kind: "image", digest, sizeBytes, processes: { web: "" }, config: null, ...profile };
}

async function findManifest(
  source: ImageSource,
  named: ImageReference,
  maxBytes: number,
): Promise<{ manifest: ImageManifest; raw: string }> {
  const limits = { architecture: architecture(), maxBytes };
  let { version } = named;
  // A list of platforms, then the one that fits: never a list in a list.
  for (let looks = 0; looks < 2; looks++) {
    const { mediaType, text } = await source.manifest(version);
    if (version.startsWith("sha256:") && digestOf(text) !== version)
      throw refused(`its registry answered another manifest than ${version}`);
    const read = must(readManifest(mediaType, text, limits));
    if (read.kind === "manifest") return { manifest: read.manifest, raw: text };
    version = read.digest;
  }
  throw refused("its list of platforms names another list");
}

async function readBlob(source: ImageSource, { config }: ImageManifest): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of (await source.blob(config.digest)) as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > config.size) throw refused("its configuration is longer than its manifest says");
    parts.push(part);
  }
  const text = Buffer.concat(parts).toString("utf8");
  if (digestOf(text) !== config.digest) throw refused("its configuration is not what its name says");
  return text;
}

async function copyBlobs(
  order: ImageRun,
  source: ImageSource,
  target: TargetGiven,
  manifest: ImageManifest,
): Promise<void> {
  const blobs = new Map([manifest.config, ...manifest.layers].map((blob) => [blob.digest, blob]));
  const missing = [];
  for (const blob of blobs.values()) if (!(await hasBlob(target, blob.digest))) missing.push(blob);
  if (missing.length === 0) return;
  const bytes = missing.reduce((sum, { size }) => sum + size, 0);
  order.onStep(`Copying ${String(missing.length)} of its ${String(blobs.size)} parts, ${formatBytes(bytes)}`);
  let doneBytes = 0;
  let toldAtMs = performance.now();
  for (const blob of missing) {
    let opened: IncomingMessage | undefined;
    try {
      await putBlob(target, blob, async () => {
        opened = await source.blob(blob.digest);
        return opened;
      });
    } catch (error) {
      throw asFetchFailure(error, target.signal);
    } finally {
      opened?.destroy();
    }
    doneBytes += blob.size;
    if (performance.now() - toldAtMs < 1000) continue;
    toldAtMs = performance.now();
    order.onStep(`Copied ${formatBytes(doneBytes)} of ${formatBytes(bytes)}`);
  }
}

/** What breaks while bytes flow is mostly the image's own registry. */
function asFetchFailure(error: unknown, signal: AbortSignal): unknown {
  if (error instanceof BuildStopped || signal.aborted) return error;
  const detail = error instanceof Error ? error.message : String(error);
  return new BuildStopped({ code: "image-not-fetched", detail: detail.slice(0, 300) }, { cause: error });
}

function architecture(): string {
  return ARCHITECTURES[process.arch] ?? process.arch;
}

function digestOf(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}

function must<T>(read: Read<T>): T {
  if (read.kind === "refused") throw refused(read.detail);
  return read.value;
}

function refused(detail: string): BuildStopped {
  const failure: BuildFailure = { code: "image-refused", detail: detail.slice(0, 400) };
  return new BuildStopped(failure);
}
