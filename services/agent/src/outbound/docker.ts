/**
 * The host's Docker Engine: the only user of dockerode in this service.
 *
 * Every call has a deadline, because an engine may hang for one container and answer for the rest. A call that
 * passed its deadline may still take effect: callers look again before they repeat it.
 */
import { PassThrough } from "node:stream";
import Docker from "dockerode";
import type { ContainerFacts, ContainerState } from "../core/next-step.ts";
import {
  callEngine,
  ENGINE_DEADLINES,
  type EngineDeadlines,
  EngineError,
  isRefused,
  isUnreachable,
  toEngineError,
  withDeadline,
} from "./engine-call.ts";
import { EngineConnections } from "./engine-connections.ts";
import { containerRootUid, runtimeNames } from "./engine-info.ts";
import { type EngineEvent, parseEvent, splitFrames } from "./engine-stream.ts";
import { followPull } from "./pull-progress.ts";
import { type SeenCable, seenCable } from "./seen-cable.ts";

export interface LabelledContainer extends ContainerFacts {
  readonly jobId: string;
}

export interface Inspected extends SeenCable {
  readonly state: ContainerState;
  readonly pid: number;
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
  /** The host's user that is root in containers: another than 0 when the engine maps users. */
  readonly containerRootUid: number;
  /** Names that a container may ask for, such as `runc` and `runsc`. */
  readonly runtimes: readonly string[];
}

export interface EngineNetwork {
  readonly name: string;
  readonly driver: string;
  /** Name of its interface on the host. */
  readonly bridge: string;
  readonly subnet: string;
  readonly labels: Readonly<Record<string, string>>;
}

const NOT_EXITED = ["created", "restarting", "running", "removing", "paused", "dead"];

export class Engine {
  readonly #docker: Docker;
  readonly #podId: string;
  readonly #deadlines: EngineDeadlines;
  readonly #connections = new EngineConnections();

  constructor(socketPath: string, podId: string, deadlines = ENGINE_DEADLINES) {
    this.#docker = new Docker({ socketPath, agent: this.#connections } as Docker.DockerOptions);
    this.#podId = podId;
    this.#deadlines = deadlines;
  }

  /** Ends every connection, so that the next call opens a new one. What was under way fails, and is looked at again. */
  reconnect(): void {
    this.#connections.destroy();
  }

  async info(): Promise<EngineInfo> {
    const info = await this.#call("info", (abortSignal) =>
      this.#get<Record<"ServerVersion" | "MemTotal" | "NCPU" | "DockerRootDir" | "Runtimes", unknown>>(
        "/info",
        abortSignal,
      ),
    );
    return {
      version: String(info.ServerVersion),
      memoryBytes: Number(info.MemTotal),
      cpuCount: Number(info.NCPU),
      rootDir: String(info.DockerRootDir),
      containerRootUid: containerRootUid(info),
      runtimes: runtimeNames(info.Runtimes),
    };
  }

  /** The engine's bridges, ours and others. */
  async networks(): Promise<EngineNetwork[]> {
    const found = await this.#call("networks", (abortSignal) =>
      this.#docker.listNetworks({ filters: { driver: ["bridge"] }, abortSignal }),
    );
    return found.map((network) => ({
      name: network.Name,
      driver: network.Driver,
      bridge: network.Options?.["com.docker.network.bridge.name"] ?? `br-${network.Id.slice(0, 12)}`,
      subnet: network.IPAM?.Config?.[0]?.Subnet ?? "",
      labels: network.Labels ?? {},
    }));
  }

  /** Every container of this pod, in any state; or those alone that did not exit, which costs the engine less. */
  async list(which: "all" | "not-exited" = "all"): Promise<LabelledContainer[]> {
    const status = which === "all" ? {} : { status: NOT_EXITED };
    const filters = { label: [`berth.pod=${this.#podId}`], ...status };
    const found = await this.#call("list", (abortSignal) =>
      this.#docker.listContainers({ all: true, filters, abortSignal }),
    );
    return found.map((item) => ({
      id: item.Id,
      jobId: item.Labels["berth.job"] ?? "",
      epoch: Number(item.Labels["berth.epoch"] ?? 0),
      attempt: Number(item.Labels["berth.attempt"] ?? 0),
      address: seenCable(item.Id, item.Labels, item.NetworkSettings.Networks).address,
      state: containerState(item.State),
    }));
  }

  /** @returns null when there is no such container */
  async inspect(idOrName: string): Promise<Inspected | null> {
    const found = await this.#orNull(() =>
      this.#call(`inspect ${idOrName}`, (abortSignal) =>
        this.#docker.getContainer(idOrName).inspect({ abortSignal }),
      ),
    );
    if (found === null) return null;
    const { State: state } = found;
    const ended = containerState(state.Status) === "exited";
    const startedAtMs = Date.parse(state.StartedAt);
    return {
      ...seenCable(found.Id, found.Config.Labels, found.NetworkSettings.Networks),
      state: containerState(state.Status),
      pid: state.Pid,
      exitCode: ended ? state.ExitCode : null,
      outOfMemory: state.OOMKilled,
      startedAtMs: startedAtMs > 0 ? startedAtMs : null,
    };
  }

  /** @returns the id of the container of that name, or null */
  async findByName(name: string): Promise<{ id: string; labels: Record<string, string> } | null> {
    const found = await this.#orNull(() =>
      this.#call(`inspect ${name}`, (abortSignal) =>
        this.#docker.getContainer(name).inspect({ abortSignal }),
      ),
    );
    return found === null ? null : { id: found.Id, labels: found.Config.Labels };
  }

  async create(name: string, body: Docker.ContainerCreateOptions): Promise<string> {
    const made = await this.#slowCall(`create ${name}`, (abortSignal) =>
      // Said apart, or the library puts the whole body, 30 kB of seccomp profile, into the address as well.
      this.#docker.createContainer({
        _query: { name },
        _body: body,
        abortSignal,
      } as unknown as Docker.ContainerCreateOptions),
    );
    return made.id;
  }

  async start(id: string): Promise<void> {
    await this.#unless([304], () =>
      this.#slowCall(`start ${short(id)}`, (abortSignal) =>
        this.#docker.getContainer(id).start({ abortSignal }),
      ),
    );
  }

  /** Done already, or ended meanwhile, is well: the next look tells. */
  async freeze(id: string, act: "pause" | "unpause"): Promise<void> {
    await this.#unless([404, 409], () =>
      this.#call(`${act} ${short(id)}`, (abortSignal) => this.#docker.getContainer(id)[act]({ abortSignal })),
    );
  }

  async signal(id: string, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    await this.#unless([404, 409], () =>
      this.#call(`kill ${short(id)}`, (abortSignal) =>
        this.#docker.getContainer(id).kill({ signal, abortSignal }),
      ),
    );
  }

  /** Sends the image's stop signal (SIGTERM by default), then SIGKILL after the grace. */
  async stop(id: string, graceMs: number): Promise<void> {
    const t = Math.ceil(graceMs / 1000);
    await this.#unless([304, 404], () =>
      callEngine(`stop ${short(id)}`, t * 1000 + this.#deadlines.slowCallMs, (abortSignal) =>
        this.#docker.getContainer(id).stop({ t, abortSignal }),
      ),
    );
  }

  /** Removes the container and the anonymous volumes of its image; gone already is well. */
  async remove(id: string): Promise<void> {
    await this.#unless([404], () =>
      this.#slowCall(`remove ${short(id)}`, (abortSignal) =>
        this.#docker.getContainer(id).remove({ force: true, v: true, abortSignal }),
      ),
    );
  }

  async lastLines(id: string, count: number): Promise<string[]> {
    const options = { stdout: true, stderr: true, follow: false as const, tail: count };
    const raw = await this.#call(`logs ${short(id)}`, (abortSignal) =>
      this.#docker.getContainer(id).logs({ ...options, abortSignal }),
    );
    return splitFrames(raw as unknown as Buffer).slice(-count);
  }

  /** @returns null when the image is not on this host */
  async image(reference: string): Promise<ImageFacts | null> {
    const found = await this.#orNull(() =>
      this.#call("image inspect", (abortSignal) =>
        this.#get<Docker.ImageInspectInfo>(`/images/${reference}/json`, abortSignal),
      ),
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
    const images = await this.#call("images", (abortSignal) => this.#docker.listImages({ abortSignal }));
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

  /** One of this name that is there already stays as it is: what the engine says then is not always that. */
  async ensureNetwork(options: Docker.NetworkCreateOptions): Promise<void> {
    try {
      await this.#slowCall("network create", (abortSignal) =>
        this.#docker.createNetwork({ ...options, abortSignal }),
      );
    } catch (error) {
      if (!isRefused(error) || (await this.#network(options.Name)) === null) throw error;
    }
  }

  #network(name: string): Promise<Docker.NetworkInspectInfo | null> {
    const path = `/networks/${name}`;
    return this.#orNull(() => this.#call("network inspect", (signal) => this.#get(path, signal)));
  }

  /** Networks with the label, and how many containers, in any state and of anybody, name each. */
  async networksWith(label: string): Promise<{ name: string; usersCount: number }[]> {
    const [networks, containers] = await Promise.all([
      this.#call("networks", (abortSignal) =>
        this.#docker.listNetworks({ filters: { label: [label] }, abortSignal }),
      ),
      this.#call("list all", (abortSignal) => this.#docker.listContainers({ all: true, abortSignal })),
    ]);
    const used = containers.flatMap((item) => [
      item.HostConfig.NetworkMode,
      ...Object.keys(item.NetworkSettings.Networks),
    ]);
    return networks.map(({ Name: name, Id: id }) => ({
      name,
      usersCount: used.filter((one) => one === name || one === id).length,
    }));
  }

  async removeNetwork(name: string): Promise<void> {
    await this.#unless([404], () =>
      this.#call("network remove", () => this.#docker.getNetwork(name).remove()),
    );
  }

  /**
   * Follows events until the stream ends. They are hints: whoever uses them lists as well.
   *
   * @param sinceMs events from then on come first, as far as the engine still knows them; null: only new ones
   */
  async followEvents(
    sinceMs: number | null,
    onEvent: (event: EngineEvent) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const filters = JSON.stringify({ type: ["container"], label: [`berth.pod=${this.#podId}`] });
    const abort = new AbortController();
    const abortSignal = AbortSignal.any([signal, abort.signal]);
    const since = sinceMs === null ? {} : { since: sinceMs / 1000 };
    // The types know no abortSignal here; the library passes it on.
    const options: Docker.GetEventsOptions = { filters, ...since };
    Object.assign(options, { abortSignal });
    const asked = this.#docker.getEvents(options);
    const stream = await withDeadline("events", this.#deadlines.callMs, asked, abort);
    const out = new PassThrough();
    stream.pipe(out);
    stream.on("error", () => out.end());
    let rest = "";
    for await (const chunk of out) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > 1_000_000) throw new EngineError("events", null, "a line of more than 1 MB");
      for (const event of lines.map(parseEvent)) if (event !== null) onEvent(event);
    }
  }

  #call<T>(what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return callEngine(what, this.#deadlines.callMs, work);
  }

  #slowCall<T>(what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return callEngine(what, this.#deadlines.slowCallMs, work);
  }

  /** For what the library gives no way to abort: a hung engine must not keep one connection per call. */
  #get<T>(path: string, abortSignal: AbortSignal): Promise<T> {
    const statusCodes = { 200: true, 404: "no such thing", 500: "server error" };
    return new Promise<T>((resolve, reject) => {
      this.#docker.modem.dial({ path, method: "GET", statusCodes, abortSignal }, (error, data) =>
        error === null ? resolve(data as T) : reject(error as Error),
      );
    });
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

function containerState(text: string): ContainerState {
  switch (text) {
    case "created":
    case "running":
    case "paused":
    case "removing":
      return text;
    case "restarting":
      return "running";
    // A removal that failed half way.
    case "dead":
      return "removing";
    default:
      return "exited";
  }
}

function short(id: string): string {
  return id.slice(0, 12);
}
