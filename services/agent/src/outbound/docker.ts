/**
 * The host's Docker Engine: the only user of dockerode in this service.
 *
 * Every call has a deadline, because an engine may hang for one container and answer for the rest. A call that
 * passed its deadline may still take effect: callers look again before they repeat it.
 */
import { PassThrough } from "node:stream";
import Docker from "dockerode";
import type { ContainerFacts, ContainerState } from "../core/next-step.ts";
import { followPull } from "./pull-progress.ts";

const CALL_MS = 10_000;
const SLOW_CALL_MS = 30_000;

export class EngineError extends Error {
  override name = "EngineError";
  /** HTTP status of the engine's answer; null when it did not answer in time or at all. */
  readonly status: number | null;
  constructor(what: string, status: number | null, cause: unknown) {
    super(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.status = status;
  }
}

export interface LabelledContainer extends ContainerFacts {
  readonly jobId: string;
}

export interface Inspected {
  readonly state: ContainerState;
  readonly pid: number;
  readonly address: string | null;
  readonly exitCode: number | null;
  readonly outOfMemory: boolean;
  readonly startedAtMs: number | null;
}

export interface ImageFacts {
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly hasLauncher: boolean;
}

export interface EngineInfo {
  readonly version: string;
  readonly memoryBytes: number;
  readonly cpuCount: number;
  readonly rootDir: string;
}

export interface EngineEvent {
  readonly jobId: string;
  readonly action: string;
  readonly containerId: string;
}

export class Engine {
  readonly #docker: Docker;
  readonly #podId: string;

  constructor(socketPath: string, podId: string) {
    this.#docker = new Docker({ socketPath });
    this.#podId = podId;
  }

  async info(): Promise<EngineInfo> {
    const info = await this.#call("info", CALL_MS, () => this.#docker.info());
    return {
      version: String(info.ServerVersion),
      memoryBytes: Number(info.MemTotal),
      cpuCount: Number(info.NCPU),
      rootDir: String(info.DockerRootDir),
    };
  }

  /** Every container of this pod, in any state. */
  async list(): Promise<LabelledContainer[]> {
    const filters = { label: [`berth.pod=${this.#podId}`] };
    const found = await this.#call("list", CALL_MS, (abortSignal) =>
      this.#docker.listContainers({ all: true, filters, abortSignal }),
    );
    return found.map((item) => ({
      id: item.Id,
      jobId: item.Labels["berth.job"] ?? "",
      epoch: Number(item.Labels["berth.epoch"] ?? 0),
      attempt: Number(item.Labels["berth.attempt"] ?? 0),
      state: containerState(item.State),
    }));
  }

  /** @returns null when there is no such container */
  async inspect(idOrName: string): Promise<Inspected | null> {
    const found = await this.#orNull(() =>
      this.#call(`inspect ${idOrName}`, CALL_MS, (abortSignal) =>
        this.#docker.getContainer(idOrName).inspect({ abortSignal }),
      ),
    );
    if (found === null) return null;
    const { State: state } = found;
    const networks = Object.values(found.NetworkSettings.Networks ?? {});
    const ended = containerState(state.Status) === "exited";
    const startedAtMs = Date.parse(state.StartedAt);
    return {
      state: containerState(state.Status),
      pid: state.Pid,
      address: networks.map((network) => network.IPAddress).find((ip) => ip !== "") ?? null,
      exitCode: ended ? state.ExitCode : null,
      outOfMemory: state.OOMKilled,
      startedAtMs: startedAtMs > 0 ? startedAtMs : null,
    };
  }

  /** @returns the id of the container of that name, or null */
  async findByName(name: string): Promise<{ id: string; labels: Record<string, string> } | null> {
    const found = await this.#orNull(() =>
      this.#call(`inspect ${name}`, CALL_MS, (abortSignal) =>
        this.#docker.getContainer(name).inspect({ abortSignal }),
      ),
    );
    return found === null ? null : { id: found.Id, labels: found.Config.Labels };
  }

  async create(name: string, body: Docker.ContainerCreateOptions): Promise<string> {
    const made = await this.#call(`create ${name}`, SLOW_CALL_MS, (abortSignal) =>
      this.#docker.createContainer({ ...body, name, abortSignal } as Docker.ContainerCreateOptions),
    );
    return made.id;
  }

  async start(id: string): Promise<void> {
    await this.#unless([304], () =>
      this.#call(`start ${short(id)}`, SLOW_CALL_MS, (abortSignal) =>
        this.#docker.getContainer(id).start({ abortSignal }),
      ),
    );
  }

  async signal(id: string, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    await this.#unless([404, 409], () =>
      this.#call(`kill ${short(id)}`, CALL_MS, (abortSignal) =>
        this.#docker.getContainer(id).kill({ signal, abortSignal }),
      ),
    );
  }

  /** Sends the image's stop signal (SIGTERM by default), then SIGKILL after the grace. */
  async stop(id: string, graceMs: number): Promise<void> {
    const t = Math.ceil(graceMs / 1000);
    await this.#unless([304, 404], () =>
      this.#call(`stop ${short(id)}`, t * 1000 + SLOW_CALL_MS, (abortSignal) =>
        this.#docker.getContainer(id).stop({ t, abortSignal }),
      ),
    );
  }

  /** Removes the container and the anonymous volumes of its image; gone already is well. */
  async remove(id: string): Promise<void> {
    await this.#unless([404], () =>
      this.#call(`remove ${short(id)}`, SLOW_CALL_MS, (abortSignal) =>
        this.#docker.getContainer(id).remove({ force: true, v: true, abortSignal }),
      ),
    );
  }

  async lastLines(id: string, count: number): Promise<string[]> {
    const raw = await this.#call(`logs ${short(id)}`, CALL_MS, () =>
      this.#docker.getContainer(id).logs({ stdout: true, stderr: true, follow: false, tail: count }),
    );
    return splitFrames(raw as unknown as Buffer).slice(-count);
  }

  /** @returns null when the image is not on this host */
  async image(reference: string): Promise<ImageFacts | null> {
    const found = await this.#orNull(() =>
      this.#call("image inspect", CALL_MS, () => this.#docker.getImage(reference).inspect()),
    );
    if (found === null) return null;
    const { Entrypoint: entrypoint, Cmd: cmd, Labels: labels } = found.Config;
    return {
      entrypoint: typeof entrypoint === "string" ? [entrypoint] : (entrypoint ?? []),
      cmd: cmd ?? [],
      hasLauncher: labels?.["berth.launcher"] !== undefined,
    };
  }

  async imageDigests(): Promise<string[]> {
    const images = await this.#call("images", CALL_MS, () => this.#docker.listImages());
    const digests = images
      .flatMap((image) => image.RepoDigests ?? [])
      .map((text) => text.split("@")[1] ?? "");
    return [...new Set(digests.filter((digest) => digest.startsWith("sha256:")))];
  }

  /** Pulls by digest with a registry token. @throws EngineError also for errors inside the progress stream */
  async pull(reference: string, registry: string, token: string, stallMs: number): Promise<void> {
    const authconfig = token === "" ? undefined : { registrytoken: token, serveraddress: registry };
    const abort = new AbortController();
    try {
      const options = { ...(authconfig === undefined ? {} : { authconfig }), abortSignal: abort.signal };
      const stream = await withDeadline("pull", stallMs, this.#docker.pull(reference, options), abort);
      await followPull(stream, stallMs);
    } catch (error) {
      abort.abort();
      if (isUnreachable(error)) throw toEngineError("pull", error);
      // The engine is there: what failed is the registry, the disk or the network between.
      throw new EngineError("pull", (error as { statusCode?: number }).statusCode ?? 504, error);
    }
  }

  async ensureNetwork(name: string, options: Docker.NetworkCreateOptions): Promise<"there" | "made"> {
    const found = await this.#orNull(() =>
      this.#call("network inspect", CALL_MS, () => this.#docker.getNetwork(name).inspect()),
    );
    if (found !== null) return "there";
    await this.#call("network create", SLOW_CALL_MS, () => this.#docker.createNetwork(options));
    return "made";
  }

  async networkSubnet(name: string): Promise<string | null> {
    const found = await this.#orNull(() =>
      this.#call("network inspect", CALL_MS, () => this.#docker.getNetwork(name).inspect()),
    );
    return found?.IPAM?.Config?.[0]?.Subnet ?? null;
  }

  async removeNetwork(name: string): Promise<void> {
    await this.#unless([404], () =>
      this.#call("network remove", CALL_MS, () => this.#docker.getNetwork(name).remove()),
    );
  }

  /** Follows events until the stream ends. They are hints: whoever uses them lists as well. */
  async followEvents(onEvent: (event: EngineEvent) => void, signal: AbortSignal): Promise<void> {
    const filters = JSON.stringify({ type: ["container"], label: [`berth.pod=${this.#podId}`] });
    // The types know no abortSignal here; the library passes it on.
    const options: Docker.GetEventsOptions = { filters };
    Object.assign(options, { abortSignal: signal });
    const stream = await this.#docker.getEvents(options);
    const out = new PassThrough();
    stream.pipe(out);
    stream.on("error", () => out.end());
    let rest = "";
    for await (const chunk of out) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > 1_000_000) throw new EngineError("events", null, "a line of more than 1 MB");
      for (const line of lines) emitEvent(line, onEvent);
    }
  }

  async #call<T>(what: string, deadlineMs: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const abort = new AbortController();
    try {
      return await withDeadline(what, deadlineMs, work(abort.signal), abort);
    } catch (error) {
      throw toEngineError(what, error);
    }
  }

  async #orNull<T>(work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof EngineError && error.status === 404) return null;
      throw error;
    }
  }

  async #unless(statuses: readonly number[], work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (error instanceof EngineError && error.status !== null && statuses.includes(error.status)) return;
      throw error;
    }
  }
}

function emitEvent(line: string, onEvent: (event: EngineEvent) => void): void {
  if (line.trim() === "") return;
  try {
    const event = JSON.parse(line) as {
      Action?: string;
      Actor?: { ID?: string; Attributes?: Record<string, string> };
    };
    const jobId = event.Actor?.Attributes?.["berth.job"];
    if (jobId === undefined || event.Action === undefined) return;
    onEvent({ jobId, action: event.Action, containerId: event.Actor?.ID ?? "" });
  } catch {
    // A hint that cannot be read is no hint; the next list sees what it meant.
  }
}

function isUnreachable(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  return code === "ECONNREFUSED" || code === "ENOENT" || code === "ECONNRESET";
}

function toEngineError(what: string, error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const status = (error as { statusCode?: unknown }).statusCode;
  return new EngineError(what, typeof status === "number" ? status : null, error);
}

async function withDeadline<T>(
  what: string,
  deadlineMs: number,
  work: Promise<T>,
  abort: AbortController,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`${what} did not end within ${deadlineMs / 1000} s`));
      abort.abort();
    }, deadlineMs);
  });
  work.catch(() => {});
  try {
    return await Promise.race([work, passed]);
  } finally {
    clearTimeout(timer);
  }
}

function containerState(text: string): ContainerState {
  switch (text) {
    case "created":
    case "running":
    case "paused":
    case "removing":
      return text;
    case "restarting":
      return "running";
    default:
      return "exited";
  }
}

/** Docker's frames are 8 bytes of head (stream, 0, 0, 0, length) and then the bytes. */
function splitFrames(raw: Buffer): string[] {
  const parts: Buffer[] = [];
  for (let at = 0; at + 8 <= raw.length; ) {
    const length = raw.readUInt32BE(at + 4);
    parts.push(raw.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  const lines = Buffer.concat(parts).toString("utf8").split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines.map((line) => line.replace(/\r$/, "").slice(0, 2000));
}

function short(id: string): string {
  return id.slice(0, 12);
}
