/**
 * Visitors of one app, who come through every edge in turn, as behind a load balancer: an edge that cannot be
 * connected to is left out for a moment, and the next one is asked.
 *
 * A request counts as failed when no edge took the connection, when it was sent and not answered within five
 * seconds, or when the answer was not 200. A request that was sent is never sent again.
 */
import { request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

const connectTimeoutMs = 1000;
const answerTimeoutMs = 5000;
const leftOutMs = 2000;
const pauseMs = 40;

export interface Edge {
  readonly name: string;
  readonly address: string;
}

export interface Visits {
  readonly requests: number;
  readonly failures: readonly string[];
  /** The longest answered request. */
  readonly slowestMs: number;
}

type Outcome =
  | { readonly kind: "not-connected" }
  | { readonly kind: "ended"; readonly failure: string | null };

/** One request through one edge. */
export function visit(
  address: string,
  port: number,
  hostname: string,
  { path = "/version", answerMs = answerTimeoutMs } = {},
): Promise<Outcome> {
  return new Promise((resolve) => {
    let connected = false;
    const call = request({
      ...{ host: address, port, path, agent: false },
      headers: { host: `${hostname}:${port}`, connection: "close" },
    });
    const end = (failure: string | null): void => {
      clearTimeout(timer);
      resolve(failure !== null && !connected ? { kind: "not-connected" } : { kind: "ended", failure });
      call.destroy();
    };
    let timer = setTimeout(() => end("no connection"), connectTimeoutMs);
    call.on("socket", (socket) =>
      socket.once("connect", () => {
        connected = true;
        clearTimeout(timer);
        timer = setTimeout(() => end(`no answer within ${answerMs / 1000} s`), answerMs);
      }),
    );
    call.on("response", (reply) => {
      reply.on("error", (error) => end(String(error)));
      reply.on("end", () => end(reply.statusCode === 200 ? null : `answered ${reply.statusCode}`));
      reply.resume();
    });
    call.on("error", (error) => end(String(error)));
    call.end();
  });
}

export class Visitors {
  readonly #edges: readonly Edge[];
  readonly #port: number;
  readonly #hostname: string;
  readonly #done: Promise<void>;
  readonly #leftOutUntilMs = new Map<string, number>();
  #turn = 0;
  #stopped = false;
  #paused = false;
  #asking = false;
  #requests = 0;
  #failures: string[] = [];
  #slowestMs = 0;
  #lastFailureAtMs: number | null = null;

  constructor(edges: readonly Edge[], port: number, hostname: string) {
    this.#edges = edges;
    this.#port = port;
    this.#hostname = hostname;
    this.#done = this.#run();
  }

  /** What happened since the last call. */
  take(): Visits {
    const taken = { requests: this.#requests, failures: this.#failures, slowestMs: this.#slowestMs };
    this.#requests = 0;
    this.#failures = [];
    this.#slowestMs = 0;
    return taken;
  }

  /** When a request last failed, by the wall clock; null when none did. */
  get lastFailureAtMs(): number | null {
    return this.#lastFailureAtMs;
  }

  /** Comes back when no request is under way any more. */
  async pause(): Promise<void> {
    this.#paused = true;
    while (this.#asking) await delay(pauseMs);
  }

  goOn(): void {
    this.#paused = false;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      if (this.#paused) {
        await delay(pauseMs);
        continue;
      }
      const startedAtMs = Date.now();
      this.#asking = true;
      const failure = await this.#ask();
      this.#asking = false;
      this.#requests += 1;
      if (failure === null) this.#slowestMs = Math.max(this.#slowestMs, Date.now() - startedAtMs);
      else {
        this.#lastFailureAtMs = Date.now();
        this.#failures.push(`${new Date(startedAtMs).toISOString()} ${failure}`);
      }
      await delay(pauseMs);
    }
  }

  async #ask(): Promise<string | null> {
    this.#turn += 1;
    const inTurn = this.#edges.map((_, i) => this.#edges[(this.#turn + i) % this.#edges.length] as Edge);
    const nowMs = Date.now();
    const isLeftOut = ({ name }: Edge): boolean => (this.#leftOutUntilMs.get(name) ?? 0) > nowMs;
    // When all are left out, all are tried.
    for (const edge of [...inTurn.filter((one) => !isLeftOut(one)), ...inTurn.filter(isLeftOut)]) {
      const outcome = await visit(edge.address, this.#port, this.#hostname);
      if (outcome.kind === "ended")
        return outcome.failure === null ? null : `through ${edge.name}: ${outcome.failure}`;
      this.#leftOutUntilMs.set(edge.name, Date.now() + leftOutMs);
    }
    return "no edge took the connection";
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }
}
