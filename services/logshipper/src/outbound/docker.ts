/** The host's Docker Engine, read only: which job containers exist, and what they print. */
import { PassThrough } from "node:stream";
import Docker from "dockerode";

const LIST_MS = 10_000;

export interface JobContainer {
  readonly id: string;
  readonly isRunning: boolean;
  readonly environmentId: string;
  readonly serviceId: string;
  /** `web.1` */
  readonly instance: string;
  readonly release: number;
}

const RUNNING = ["running", "paused", "restarting"];

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
   * @param which all; those that run; or those of these ids
   */
  async list(which: "all" | "running" | readonly string[] = "all"): Promise<JobContainer[]> {
    const only = which === "all" ? {} : which === "running" ? { status: RUNNING } : { id: [...which] };
    const filters = { label: [`berth.pod=${this.#podId}`, "berth.job"], ...only };
    const abortSignal = AbortSignal.timeout(LIST_MS);
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

  /** The multiplexed stream of everything from `since` on; it ends when the container has ended. */
  async follow(id: string, since: string | null, signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
    const options = { follow: true as const, stdout: true, stderr: true, timestamps: true };
    const from = since === null ? {} : { since: since as unknown as number };
    const stream = await this.#docker.getContainer(id).logs({ ...options, ...from, abortSignal: signal });
    return endingWith(stream, signal);
  }

  /** Calls `onStart` with the id of every container of the pod that starts, until the stream ends. A hint, as all events. */
  async followStarts(onStart: (id: string) => void, signal: AbortSignal): Promise<void> {
    const filters = JSON.stringify({
      type: ["container"],
      event: ["start"],
      label: [`berth.pod=${this.#podId}`],
    });
    const options: Docker.GetEventsOptions = { filters };
    Object.assign(options, { abortSignal: signal });
    const stream = await this.#docker.getEvents(options);
    // A chunk may hold several events, or part of one.
    for await (const chunk of endingWith(stream, signal))
      for (const [, id = ""] of String(chunk).matchAll(/"(?:id|ID)":"([0-9a-f]{64})"/g)) onStart(id);
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
