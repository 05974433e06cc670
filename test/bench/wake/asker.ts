/**
 * Runs in a host's network namespace and does what it is told over standard input, one JSON object a line: starts a bare
 * container and finds its first answer, or asks the host's edge. The same questions in all arms, by the same process.
 */
import { request } from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";

export const Order = z.discriminatedUnion("op", [
  /** Tells the engine, then connects until the app answers 200. */
  z.object({
    op: z.literal("bare"),
    socketPath: z.string(),
    enginePath: z.string(),
    address: z.string(),
    port: z.int(),
  }),
  /** So many requests at once through an edge. */
  z.object({ op: z.literal("edge"), address: z.string(), port: z.int(), host: z.string(), count: z.int() }),
]);
export type Order = z.infer<typeof Order>;

export const Report = z.object({
  /** When it began, by the wall clock. */
  startedAtMs: z.number(),
  /** Of a bare wake, until the engine answered. */
  engineMs: z.number().optional(),
  /** Until the first byte of the first right answer. */
  firstMs: z.number(),
  /** Until the last answer. */
  lastMs: z.number(),
  /** What was not answered 200, and how often. */
  failed: z.record(z.string(), z.int()),
});
export type Report = z.infer<typeof Report>;

const answerTimeoutMs = 90_000;
const deadlineMs = 60_000;

interface Asked {
  readonly address: string;
  readonly port: number;
  readonly host: string;
}

/** @returns what came, and when its first byte did */
function ask({ address, port, host }: Asked): Promise<{ outcome: string; atMs: number }> {
  return new Promise((resolve) => {
    const call = request(
      { host: address, port, path: "/version", agent: false, headers: { host, connection: "close" } },
      (reply) => {
        const atMs = performance.now();
        reply.on("error", (error) => resolve({ outcome: error.message, atMs }));
        reply.on("end", () => resolve({ outcome: String(reply.statusCode), atMs }));
        reply.resume();
      },
    );
    call.setTimeout(answerTimeoutMs, () => call.destroy(new Error("no answer")));
    call.on("error", (error) => resolve({ outcome: error.message, atMs: performance.now() }));
    call.end();
  });
}

function tellEngine(socketPath: string, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, method: "POST" }, (reply) => {
      reply.resume();
      if ((reply.statusCode ?? 500) < 300) reply.on("end", resolve);
      else reject(new Error(`${path}: ${reply.statusCode}`));
    });
    call.on("error", reject);
    call.end();
  });
}

async function bare(order: Extract<Order, { op: "bare" }>): Promise<Report> {
  const startMs = performance.now();
  const startedAtMs = Date.now();
  await tellEngine(order.socketPath, order.enginePath);
  const engineMs = performance.now() - startMs;
  for (let tries = 0; performance.now() - startMs < deadlineMs; tries++) {
    const { outcome, atMs } = await ask({ ...order, host: "bare" });
    const firstMs = atMs - startMs;
    if (outcome === "200") return { startedAtMs, engineMs, firstMs, lastMs: firstMs, failed: {} };
    await delay(Math.min(10, 2 ** Math.min(tries, 4)));
  }
  throw new Error("the bare container did not answer");
}

async function edge(order: Extract<Order, { op: "edge" }>): Promise<Report> {
  const startMs = performance.now();
  const startedAtMs = Date.now();
  const all = await Promise.all(Array.from({ length: order.count }, () => ask(order)));
  const failed: Record<string, number> = {};
  for (const { outcome } of all) if (outcome !== "200") failed[outcome] = (failed[outcome] ?? 0) + 1;
  const times = all.map(({ atMs }) => atMs - startMs);
  return { startedAtMs, firstMs: Math.min(...times), lastMs: Math.max(...times), failed };
}

if (import.meta.main) {
  for await (const line of createInterface({ input: process.stdin })) {
    const order = Order.parse(JSON.parse(line));
    const report = await (order.op === "bare" ? bare(order) : edge(order));
    process.stdout.write(`${JSON.stringify(report)}\n`);
  }
}
