/**
 * The load of `bench deploy`, in a process of its own: open loop, so each request has an instant at which it is due, and its
 * latency counts from there. Told over standard input, one JSON object a line; answers with one line per window.
 *
 * A window is closed once everything that was due in it has ended.
 */
import { Agent, request } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";
import { z } from "zod";
import { streamParts } from "./app.ts";

export const Kind = z.enum(["keep-alive", "close", "h2", "stream", "websocket"]);
export type Kind = z.infer<typeof Kind>;

export const LoadOrder = z.discriminatedUnion("op", [
  z.object({
    op: z.literal("start"),
    edges: z.array(z.string()).min(1),
    port: z.int(),
    hostname: z.string(),
    /** Per second, of each kind but WebSockets. */
    rates: z.record(Kind, z.number().min(0)),
    webSockets: z.int().min(0),
  }),
  /** Ends the window and begins the next one. */
  z.object({ op: z.literal("window") }),
]);
export type LoadOrder = z.infer<typeof LoadOrder>;

export const WindowReport = z.object({
  counts: z.record(z.string(), z.int()),
  /** What went wrong, by kind and words. */
  failed: z.record(z.string(), z.int()),
  /** WebSockets that the app ended as it should (1001), and that were opened again. */
  goodbyes: z.int(),
  /** Of the short requests, all kinds together. */
  p50Ms: z.number(),
  p99Ms: z.number(),
  /** The longest time that the generator itself was late. */
  lateMs: z.number(),
});
export type WindowReport = z.infer<typeof WindowReport>;

const answerTimeoutMs = 10_000;
const tickMs = 5;
const messageEveryMs = 1000;
/** As client libraries do it: all at once would be a load of its own. */
const againWithinMs = 2000;

class Window {
  readonly counts: Record<string, number> = {};
  readonly failed: Record<string, number> = {};
  readonly latencies: number[] = [];
  goodbyes = 0;
  pending = 0;
  lateMs = 0;

  count(kind: Kind): void {
    this.counts[kind] = (this.counts[kind] ?? 0) + 1;
  }

  fail(kind: Kind, why: string): void {
    const what = `${kind}: ${why}`;
    this.failed[what] = (this.failed[what] ?? 0) + 1;
  }

  report(): WindowReport {
    const sorted = this.latencies.toSorted((a, b) => a - b);
    const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
    const { counts, failed, goodbyes, lateMs } = this;
    return { counts, failed, goodbyes, lateMs, p50Ms: at(0.5), p99Ms: at(0.99) };
  }
}

type Started = Extract<LoadOrder, { op: "start" }>;

class Load {
  readonly #given: Started;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });
  readonly #sessions = new Map<string, ClientHttp2Session>();
  #window = new Window();
  #turn = 0;

  constructor(given: Started) {
    this.#given = given;
    for (const [kind, rate] of Object.entries(given.rates))
      if (rate > 0) this.#schedule(Kind.parse(kind), rate);
    for (let i = 0; i < given.webSockets; i++) this.#webSocket(this.#edge());
  }

  async window(): Promise<WindowReport> {
    const window = this.#window;
    this.#window = new Window();
    while (window.pending > 0) await delay(20);
    return window.report();
  }

  #edge(): string {
    const { edges } = this.#given;
    return edges[this.#turn++ % edges.length] as string;
  }

  #schedule(kind: Kind, rate: number): void {
    const startMs = performance.now();
    let sent = 0;
    setInterval(() => {
      const nowMs = performance.now();
      while (startMs + (sent * 1000) / rate <= nowMs) {
        const dueMs = startMs + (sent * 1000) / rate;
        this.#window.lateMs = Math.max(this.#window.lateMs, nowMs - dueMs);
        void this.#one(kind, dueMs);
        sent += 1;
      }
    }, tickMs);
  }

  async #one(kind: Kind, dueMs: number): Promise<void> {
    const window = this.#window;
    window.pending += 1;
    window.count(kind);
    try {
      const edge = this.#edge();
      await (kind === "h2" ? this.#http2(edge) : this.#http1(edge, kind));
      if (kind !== "stream") window.latencies.push(performance.now() - dueMs);
    } catch (error) {
      window.fail(kind, (error as Error).message);
    }
    window.pending -= 1;
  }

  #http1(edge: string, kind: Kind): Promise<void> {
    const { port, hostname } = this.#given;
    const isStream = kind === "stream";
    return new Promise((resolve, reject) => {
      const asked = request({
        ...{ host: edge, port, path: isStream ? "/stream" : "/", timeout: answerTimeoutMs },
        agent: kind === "keep-alive" ? this.#agent : false,
        headers: { host: hostname, ...(kind === "keep-alive" ? {} : { connection: "close" }) },
      });
      asked.once("timeout", () => asked.destroy(new Error("no answer in time")));
      asked.once("error", reject);
      asked.once("response", (reply) => {
        let body = "";
        reply.setEncoding("utf8");
        reply.on("data", (text: string) => {
          body += text;
        });
        reply.once("error", reject);
        reply.once("end", () => {
          const right = isStream ? body.split("\n").length === streamParts + 1 : body.startsWith("ok");
          if (reply.statusCode === 200 && right) resolve();
          else reject(new Error(`${reply.statusCode} with ${body.length} characters`));
        });
      });
      asked.end();
    });
  }

  #http2(edge: string): Promise<void> {
    const session = this.#session(edge);
    return new Promise((resolve, reject) => {
      const asked = session.request({ ":path": "/", ":authority": this.#given.hostname });
      let status = 0;
      let body = "";
      asked.setEncoding("utf8");
      asked.setTimeout(answerTimeoutMs, () => asked.destroy(new Error("no answer in time")));
      asked.once("response", (headers) => {
        status = headers[":status"] ?? 0;
      });
      asked.on("data", (text: string) => {
        body += text;
      });
      asked.once("error", reject);
      asked.once("close", () => {
        if (status === 200 && body.startsWith("ok")) resolve();
        else reject(new Error(`${status} with ${body.length} characters`));
      });
      asked.end();
    });
  }

  /** Prior knowledge, in clear: one connection per edge for all requests, a new one when it says goodbye. */
  #session(edge: string): ClientHttp2Session {
    const known = this.#sessions.get(edge);
    if (known !== undefined && !known.closed && !known.destroyed) return known;
    const session = connectHttp2(`http://${edge}:${this.#given.port}`);
    const forget = (): void => void (this.#sessions.get(edge) === session && this.#sessions.delete(edge));
    session.once("goaway", forget);
    session.once("close", forget);
    session.on("error", forget);
    this.#sessions.set(edge, session);
    return session;
  }

  /** One that says a word every second; ended by the app with 1001 it comes again, ended in any other way it has failed. */
  #webSocket(edge: string): void {
    const { port, hostname } = this.#given;
    const socket = new WebSocket(`ws://${edge}:${port}/`, {
      headers: { host: hostname },
      perMessageDeflate: false,
    });
    let unanswered = 0;
    let said = 0;
    const timer = setInterval(() => {
      if (socket.readyState !== WebSocket.OPEN) return;
      if (unanswered > 0) this.#window.fail("websocket", "no answer within a second");
      this.#window.count("websocket");
      unanswered += 1;
      socket.send(String(said++));
    }, messageEveryMs);
    socket.on("message", () => {
      unanswered = 0;
    });
    socket.on("error", () => undefined); // what follows is its end
    socket.once("close", (code) => {
      clearInterval(timer);
      if (code === 1001) this.#window.goodbyes += 1;
      else this.#window.fail("websocket", `ended with ${code}`);
      setTimeout(() => this.#webSocket(this.#edge()), Math.random() * againWithinMs);
    });
  }
}

if (import.meta.main) {
  let load: Load | null = null;
  for await (const line of createInterface({ input: process.stdin })) {
    const order = LoadOrder.parse(JSON.parse(line));
    if (order.op === "start") load = new Load(order);
    else process.stdout.write(`${JSON.stringify(await load?.window())}\n`);
  }
  process.exit(0);
}
