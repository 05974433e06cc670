/**
 * Used connections to apps, with a real HAProxy on loopback: apps that close idle connections at the worst moment lose no
 * request, and what may not be repeated is not.
 */
import { once } from "node:events";
import { Agent, createServer, request } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { closeAll, closers, startRig, table } from "./testing/edge-rig.ts";

const BINARY = process.env.BERTH_TEST_HAPROXY ?? "haproxy";
const HOST = "a.localhost";
/** Far sooner than any app does. */
const idleMs = 50;
const clients = 12;
const requestsEach = 150;

afterEach(closeAll);

interface ImpatientApp {
  readonly port: number;
  connections(): number;
  /** Method and id of each request that was read whole, as often as it was. */
  readonly done: Map<string, number>;
}

/** Ends a connection that was idle for a while, with whatever is on its way to it. */
async function startImpatientApp(): Promise<ImpatientApp> {
  const done = new Map<string, number>();
  let connections = 0;
  const underWay = new Map<Socket, number>();
  const server = createServer((req, res) => {
    const { socket } = req;
    underWay.set(socket, (underWay.get(socket) ?? 0) + 1);
    req.resume();
    req.once("end", () => {
      const key = `${req.method} ${req.url}`;
      done.set(key, (done.get(key) ?? 0) + 1);
      res.end("done");
      const requests = underWay.get(socket);
      // Idle since this answer, as far as the app has read.
      setTimeout(() => underWay.get(socket) === requests && socket.destroy(), idleMs);
    });
  });
  server.keepAliveTimeout = 60_000;
  server.on("connection", () => {
    connections += 1;
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, connections: () => connections, done };
}

function ask(port: number, agent: Agent, method: string, path: string): Promise<string> {
  return new Promise((resolve) => {
    const body = method === "POST" ? "x".repeat(500) : "";
    const headers = { host: HOST, ...(body === "" ? {} : { "content-length": body.length }) };
    const call = request({ host: "127.0.0.1", port, method, path, agent, headers }, (reply) => {
      reply.on("error", (error) => resolve(error.message));
      reply.on("end", () => resolve(String(reply.statusCode)));
      reply.resume();
    });
    call.on("error", (error) => resolve(error.message));
    call.end(body);
  });
}

test("apps that close after 50 ms idle: nothing lost, no POST done twice", async () => {
  const rig = await startRig(BINARY);
  const apps = [await startImpatientApp(), await startImpatientApp()];
  await rig.edge.apply([table(1, { [HOST]: apps.map(({ port }) => port) })]);
  const outcomes: string[] = [];
  const client = async (number: number): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    closers.push(() => agent.destroy());
    for (let i = 0; i < requestsEach; i++) {
      const method = i % 3 === 2 ? "POST" : "GET";
      outcomes.push(await ask(rig.port, agent, method, `/${number}.${i}`));
      // Around the instant at which the app gives up.
      if (i % 4 === 0) await delay(idleMs + Math.random() * 2 - 1);
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, number) => client(number)));
  expect(outcomes.filter((outcome) => outcome !== "200")).toEqual([]);
  const done = apps.flatMap((app) => [...app.done]);
  const posts = done.filter(([key]) => key.startsWith("POST"));
  expect(posts).toHaveLength((clients * requestsEach) / 3);
  expect(posts.filter(([, times]) => times !== 1)).toEqual([]);
  const connections = apps.reduce((sum, app) => sum + app.connections(), 0);
  console.log(`${outcomes.length} requests over ${connections} connections`);
  expect(connections).toBeLessThan(outcomes.length * 0.9);
}, 60_000);
