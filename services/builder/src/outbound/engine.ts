/**
 * The Docker Engine that builds: the only importer of dockerode in this service, and its types stop here.
 *
 * A buildpack build is one container of the build stack, as an ordinary user without any capability, with limits
 * on memory, CPU, processes and time. It sees the pushed source, the service's own cache volume and nothing else.
 * Its /app then becomes one layer on the run stack. Every container made here is removed here, whatever happened.
 */
import { createReadStream } from "node:fs";
import { PassThrough, type Readable, Transform } from "node:stream";
import Docker from "dockerode";
import { extract } from "tar-stream";
import { BuildStopped } from "../core/build-stopped.ts";
import { BUILD_CPU_SHARES } from "../core/build-weight.ts";
import { readPushRecord } from "../core/read-push-record.ts";
import type { BuildOutput } from "./build-output.ts";
import { abortable, deadline, missingAsNull } from "./engine-calls.ts";

export interface EngineLimits {
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly pids: number;
  /** Of the finished /app, uncompressed. */
  readonly maxAppBytes: number;
}

export interface BuildContainerInput {
  readonly buildId: string;
  readonly serviceId: string;
  readonly image: string;
  readonly sourceTarPath: string;
  /** Tar with the platform's files for /berth. */
  readonly toolsTar: Buffer;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly output: BuildOutput;
  readonly signal: AbortSignal;
}

export interface BuildContainerResult {
  readonly containerId: string;
  readonly exitCode: number;
  readonly outOfMemory: boolean;
  /** Small files of /tmp/berth by name. */
  readonly notes: ReadonlyMap<string, string>;
}

export interface AppImageInput {
  readonly buildId: string;
  readonly buildContainerId: string;
  readonly stackImage: string;
  readonly reference: string;
  readonly webCommand: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export interface ImageFacts {
  readonly sizeBytes: number;
  readonly user: string;
  readonly exposedPorts: readonly number[];
  readonly hasCommand: boolean;
  readonly labels: Readonly<Record<string, string>>;
}

const NOTES_MAX_BYTES = 256 * 1024;
const APP_PATH =
  "/app/.berth/node/bin:/app/.venv/bin:/app/node_modules/.bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

export class BuildEngine {
  readonly #docker: Docker;
  readonly #builderId: string;
  readonly #limits: EngineLimits;

  constructor(given: { socketPath: string; builderId: string; limits: EngineLimits }) {
    this.#docker = new Docker({ socketPath: given.socketPath });
    this.#builderId = given.builderId;
    this.#limits = given.limits;
  }

  /** @returns the engine's version, such as `20.10.24`; throws when it does not answer */
  async version(): Promise<string> {
    const answer = await deadline(this.#docker.version(), "asking for its version");
    return answer.Version;
  }

  /** Resolves when the engine goes away or `signal` fires, seen by a stream that it keeps open; never rejects. */
  async gone(signal: AbortSignal): Promise<void> {
    try {
      const filters = { event: ["none"] };
      const stream = await this.#docker.getEvents({ filters, abortSignal: signal });
      await new Promise<void>((resolve) => {
        for (const end of ["end", "close", "error"]) stream.once(end, () => resolve());
        stream.resume();
      });
    } catch {
      // It does not answer: gone already.
    }
  }

  /** @returns null when the engine has no such image */
  async imageId(name: string): Promise<string | null> {
    return (
      (await missingAsNull(deadline(this.#docker.getImage(name).inspect(), `looking at image ${name}`)))
        ?.Id ?? null
    );
  }

  async tagImage(name: string, reference: string): Promise<void> {
    await deadline(this.#docker.getImage(name).tag(splitReference(reference)), "naming an image");
  }

  /** Takes a name away from an image that has others. */
  async untagImage(reference: string): Promise<void> {
    await missingAsNull(
      deadline(this.#docker.getImage(reference).remove({ noprune: true }), "removing an image's name"),
    );
  }

  async imageFacts(name: string): Promise<ImageFacts> {
    const facts = await deadline(this.#docker.getImage(name).inspect(), `looking at image ${name}`);
    const config = facts.Config;
    return {
      sizeBytes: facts.Size,
      user: config?.User ?? "",
      exposedPorts: Object.keys(config?.ExposedPorts ?? {}).map((port) => Number.parseInt(port, 10)),
      hasCommand: (config?.Cmd ?? []).length > 0 || (config?.Entrypoint ?? []).length > 0,
      labels: config?.Labels ?? {},
    };
  }

  /** Runs the buildpacks. The stopped container stays, for `makeAppImage`; the caller removes it. */
  async runBuildContainer(
    input: BuildContainerInput,
    onCreated: (containerId: string) => void,
  ): Promise<BuildContainerResult> {
    const container = await deadline(
      this.#docker.createContainer(this.#containerOptions(input)),
      "creating the container",
    );
    onCreated(container.id);
    await abortable(container.putArchive(input.toolsTar, { path: "/berth" }), input.signal);
    await abortable(
      container.putArchive(createReadStream(input.sourceTarPath), { path: "/app" }),
      input.signal,
    );
    // Attached before the start: nothing is missed, and the engine stores no log of its own.
    const stream = await deadline(
      container.attach({ stream: true, stdout: true, stderr: true }),
      "attaching",
    );
    const sink = new PassThrough();
    sink.on("data", (chunk: Buffer) => input.output.write(chunk));
    this.#docker.modem.demuxStream(stream, sink, sink);
    const ended = new Promise<void>((resolve) =>
      stream
        .once("end", resolve)
        .once("close", resolve)
        .once("error", () => resolve()),
    );
    await deadline(container.start(), "starting the container");
    try {
      await abortable(container.wait(), input.signal);
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 5000).unref())]);
    } finally {
      (stream as unknown as { destroy: () => void }).destroy();
      input.output.end();
    }
    const { State: state } = await deadline(container.inspect(), "looking at the container");
    const notes = await this.#readNotes(container);
    return { containerId: container.id, exitCode: state.ExitCode, outOfMemory: state.OOMKilled, notes };
  }

  #containerOptions(input: BuildContainerInput): Docker.ContainerCreateOptions {
    return {
      Image: input.image,
      User: "1000:1000",
      WorkingDir: "/app",
      Entrypoint: [...input.command],
      Cmd: [],
      Env: Object.entries(input.env).map(([name, value]) => `${name}=${value}`),
      Labels: {
        "berth.build": input.buildId,
        "berth.builder": this.#builderId,
        "berth.service": input.serviceId,
        "berth.build-container": this.#builderId,
      },
      HostConfig: {
        Memory: this.#limits.memoryBytes,
        MemorySwap: this.#limits.memoryBytes,
        NanoCpus: Math.round(this.#limits.cpus * 1e9),
        CpuShares: BUILD_CPU_SHARES,
        PidsLimit: this.#limits.pids,
        CapDrop: ["ALL"],
        SecurityOpt: ["no-new-privileges"],
        LogConfig: { Type: "none", Config: {} },
        Ulimits: [{ Name: "fsize", Soft: 2 * 1024 ** 3, Hard: 2 * 1024 ** 3 }],
        Mounts: [
          {
            Type: "volume",
            Source: cacheVolume(input.serviceId),
            Target: "/cache",
            VolumeOptions: {
              NoCopy: false,
              Labels: { "berth.cache": input.serviceId },
              DriverConfig: { Name: "local", Options: {} },
            },
          },
        ],
      },
    };
  }

  async #readNotes(container: Docker.Container): Promise<ReadonlyMap<string, string>> {
    const notes = new Map<string, string>();
    const archive = await missingAsNull(container.getArchive({ path: "/tmp/berth" }));
    if (archive === null) return notes;
    const reader = extract();
    archive.pipe(reader);
    for await (const entry of reader) {
      let text = "";
      for await (const chunk of entry as AsyncIterable<Buffer>) {
        if (text.length < NOTES_MAX_BYTES) text += chunk.toString("utf8");
      }
      notes.set(entry.header.name.replace(/^berth\//, ""), text.slice(0, NOTES_MAX_BYTES));
    }
    return notes;
  }

  /**
   * The run stack and, as one layer, the /app of a build container.
   * The container that is committed never starts: nothing but /app differs from the stack.
   */
  async makeAppImage(input: AppImageInput): Promise<void> {
    const source = await deadline(
      this.#docker.getContainer(input.buildContainerId).getArchive({ path: "/app" }),
      "reading /app",
    );
    const carrier = await deadline(
      this.#docker.createContainer({
        Image: input.stackImage,
        User: "app",
        WorkingDir: "/app",
        Entrypoint: ["/berth/launch"],
        Cmd: [input.webCommand],
        Env: [`PATH=${APP_PATH}`, "HOME=/app"],
        ExposedPorts: { "8080/tcp": {} },
        Labels: { ...input.labels, "berth.build": input.buildId, "berth.builder": this.#builderId },
        HostConfig: { NetworkMode: "none", LogConfig: { Type: "none", Config: {} } },
      }),
      "creating the app's image",
    );
    try {
      const counted = source.pipe(sizeLimit(this.#limits.maxAppBytes));
      const failed = new Promise<never>((_resolve, reject) => counted.once("error", reject));
      await Promise.race([abortable(carrier.putArchive(counted, { path: "/" }), input.signal), failed]);
      const { repo, tag } = splitReference(input.reference);
      await abortable(carrier.commit({ repo, tag, pause: false }), input.signal);
    } finally {
      (source as Readable).destroy();
      await this.removeContainer(carrier.id);
    }
  }

  /**
   * Pushes an image by its reference (`host:port/org/service:tag`).
   * The engine reports a failed push inside a stream that itself ends well, so every record is looked at.
   *
   * @returns the digest under which the registry stored it
   */
  async push(
    reference: string,
    registryToken: string,
    signal: AbortSignal,
    onProgress: (text: string) => void,
  ): Promise<{ digest: string }> {
    const { repo, tag } = splitReference(reference);
    const options = { tag, authconfig: { registrytoken: registryToken }, abortSignal: signal };
    const stream = (await this.#docker
      .getImage(repo)
      .push(options as unknown as Docker.ImagePushOptions)
      .catch((error: unknown) => {
        throw pushFailed(signal, error);
      })) as Readable;
    let digest: string | null = null;
    let rest = "";
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        const lines = (rest + chunk.toString("utf8")).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) digest = readPushRecord(line, onProgress) ?? digest;
      }
    } catch (error) {
      throw error instanceof BuildStopped ? error : pushFailed(signal, error);
    }
    digest = readPushRecord(rest, onProgress) ?? digest;
    if (digest === null)
      throw new BuildStopped({ code: "push-failed", detail: "the engine named no digest" });
    return { digest };
  }

  async removeContainer(id: string): Promise<void> {
    await missingAsNull(
      deadline(this.#docker.getContainer(id).remove({ force: true, v: false }), "removing a container"),
    );
  }

  async removeImage(reference: string): Promise<void> {
    await missingAsNull(
      deadline(this.#docker.getImage(reference).remove({ force: true }), "removing an image"),
    );
  }

  /**
   * Removes the containers and image names that an earlier life of this builder left behind.
   * An app's container carries its image's labels, and one engine may build and run: those are never touched.
   * Ours are marked, or are carriers of an image that never started.
   */
  async sweep(): Promise<{ containers: number; images: number }> {
    return { containers: await this.removeOldContainers(0), images: await this.removeOldImages(0) };
  }

  /** @param minAgeMs containers younger than this may belong to a build that runs */
  async removeOldContainers(minAgeMs: number): Promise<number> {
    const filters = { label: [`berth.builder=${this.#builderId}`] };
    const listed = await deadline(this.#docker.listContainers({ all: true, filters }), "listing containers");
    const own = listed.filter(
      ({ Labels: labels, State: state, Created: createdAt }) =>
        createdAt * 1000 <= Date.now() - minAgeMs &&
        (labels["berth.build-container"] === this.#builderId ||
          (state === "created" && labels["berth.job"] === undefined)),
    );
    for (const container of own) await this.removeContainer(container.Id);
    return own.length;
  }

  /**
   * Takes this builder's names (`…:bld_…`) off images of a certain age; what no name and no container holds then
   * goes. They stay a while because an engine that also runs apps need not pull what it has.
   */
  async removeOldImages(minAgeMs: number): Promise<number> {
    const filters = { label: [`berth.builder=${this.#builderId}`] };
    const images = await deadline(this.#docker.listImages({ filters }), "listing images");
    const old = images.filter((image) => image.Created * 1000 <= Date.now() - minAgeMs);
    const names = old.flatMap((image) => image.RepoTags ?? []).filter((name) => /:bld_[0-9a-z]+$/.test(name));
    for (const name of names) {
      await missingAsNull(deadline(this.#docker.getImage(name).remove(), "removing an image's name"));
    }
    return names.length;
  }

  /** @param keep services whose caches stay; null, when they are not known, removes nothing */
  async removeStaleCaches(keep: ReadonlySet<string> | null): Promise<void> {
    if (keep === null) return;
    const { Volumes: volumes } = await deadline(
      this.#docker.listVolumes({ filters: { label: ["berth.cache"] } }),
      "listing caches",
    );
    for (const volume of volumes) {
      const serviceId = volume.Labels["berth.cache"] ?? "";
      if (!keep.has(serviceId)) await this.removeCache(serviceId);
    }
  }

  async removeCache(serviceId: string): Promise<void> {
    await missingAsNull(
      deadline(this.#docker.getVolume(cacheVolume(serviceId)).remove(), "removing a cache"),
    );
  }
}

function cacheVolume(serviceId: string): string {
  return `berth-cache-${serviceId}`;
}

function pushFailed(signal: AbortSignal, error: unknown): unknown {
  if (signal.aborted) return signal.reason;
  const detail = error instanceof Error ? error.message : String(error);
  return new BuildStopped({ code: "push-failed", detail: detail.slice(0, 500) }, { cause: error });
}

function splitReference(reference: string): { repo: string; tag: string } {
  const at = reference.lastIndexOf(":");
  return { repo: reference.slice(0, at), tag: reference.slice(at + 1) };
}

function sizeLimit(maxBytes: number): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) done(new BuildStopped({ code: "image-too-large", limitBytes: maxBytes }));
      else done(null, chunk);
    },
  });
}
