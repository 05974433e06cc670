/** The host's Docker Engine, read only: which job containers exist, and where their logs are. */
import { PassThrough } from "node:stream";
import Docker from "dockerode";

const CALL_MS = 10_000;

export interface JobContainer {
  readonly id: string;
  readonly isRunning: boolean;
  readonly environmentId: string;
  readonly serviceId: string;
  /** `web.1` */
  readonly instance: string;
  readonly release: number;
}

export class LogSource {
  readonly #docker: Docker;
  readonly #podId: string;

  constructor(socketPath: string, podId: string) {
    this.#docker = new Docker({ socketPath });
    this.#podId = podId;
  }

  /**
   * Whose lines these are is told by the labels that the agent set, never by the lines.
   *
   * @param ids of these alone, which costs the engine less the more others there are; null: all
   */
  async list(ids: readonly string[] | null = null): Promise<JobContainer[]> {
    const only = ids === null ? {} : { id: [...ids] };
    const filters = { label: [`berth.pod=${this.#podId}`, "berth.job"], ...only };
    const abortSignal = AbortSignal.timeout(CALL_MS);
    const found = await this.#docker.listContainers({ all: true, filters, abortSignal });
    return found.map(({ Id, State, Labels: labels }) => ({
      id: Id,
      isRunning: State === "running" || State === "paused",
      environmentId: labels["berth.environment"] ?? "",
      serviceId: labels["berth.service"] ?? "",
      instance: `${labels["berth.process"] ?? "?"}.${labels["berth.slot"] ?? "?"}`.slice(0, 60),
      release: Number(labels["berth.release-version"] ?? 0) || 0,
    }));
  }

  /**
   * @returns the file that the engine writes the container's output to; null when it has none yet or is gone;
   *   "other" when its log is of another kind
   */
  async logPath(id: string): Promise<string | "other" | null> {
    const abortSignal = AbortSignal.timeout(CALL_MS);
    const found = await this.#docker.getContainer(id).inspect({ abortSignal }).catch(orNull);
    if (found === null) return null;
    if (found.HostConfig.LogConfig?.Type !== "json-file") return "other";
    return found.LogPath.startsWith("/") ? found.LogPath : null;
  }

  /**
   * Calls `onOpen` once the engine tells, then `onChange` with the id of every container of the pod that starts or ends,
   * until the stream ends. A hint, as all events.
   */
  async followChanges(
    onOpen: () => void,
    onChange: (id: string) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const filters = JSON.stringify({
      type: ["container"],
      event: ["start", "die"],
      label: [`berth.pod=${this.#podId}`],
    });
    const options: Docker.GetEventsOptions = { filters };
    Object.assign(options, { abortSignal: signal });
    const stream = await this.#docker.getEvents(options);
    onOpen();
    // A chunk may hold several events, or part of one.
    for await (const chunk of endingWith(stream, signal))
      for (const [, id = ""] of String(chunk).matchAll(/"(?:id|ID)":"([0-9a-f]{64})"/g)) onChange(id);
  }
}

/** A stream that is cut short ends; whoever reads it decides whether to open it again. */
function endingWith(stream: NodeJS.ReadableStream, signal: AbortSignal): AsyncIterable<Buffer> {
  const out = new PassThrough();
  stream.on("error", () => out.end());
  signal.addEventListener("abort", () => out.end(), { once: true });
  stream.pipe(out);
  return out;
}

function orNull(error: { readonly statusCode?: number }): null {
  if (error.statusCode === 404) return null;
  throw error;
}
