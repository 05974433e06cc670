import { once } from "node:events";
import { createServer as createHttp, type Server as HttpServer, request } from "node:http";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import { afterEach, expect, test, vi } from "vitest";
import { HeldRequests, type Limits } from "./held-requests.ts";

const LIMITS: Limits = { heldPerService: 300, heldInAll: 300, longestHoldMs: 30_000 };
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

interface Desk {
  readonly held: HeldRequests;
  readonly port: number;
  readonly asked: string[];
  readonly dropped: string[];
}

async function open(limits: Partial<Limits> = {}): Promise<Desk> {
  const held = new HeldRequests({ ...LIMITS, ...limits }, silentLog);
  const [asked, dropped]: [string[], string[]] = [[], []];
  held.useAgent({
    ask: ({ hostname }) => void asked.push(hostname),
    drop: ({ hostname }) => void dropped.push(hostname),
  });
  const server = createServer({ allowHalfOpen: true }, held.accept);
  return { held, port: await listening(server), asked, dropped };
}

async function listening(server: Server | HttpServer, port = 0): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => {
    if ("closeAllConnections" in server) server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** Answers with what it got. */
async function app(port = 0): Promise<{ port: number; heads: () => number }> {
  let heads = 0;
  const server = createHttp((req, res) => {
    heads += 1;
    let body = "";
    req.on("data", (part: Buffer) => {
      body += part.toString();
    });
    req.on("end", () => res.end(`${req.method} ${req.url} ${body.length}`));
  });
  return { port: await listening(server, port), heads: () => heads };
}

function ask(
  port: number,
  host: string,
  body = "",
): Promise<{ status: number; body: string; retryAfter?: string }> {
  return new Promise((resolve, reject) => {
    const headers = { host, connection: "close", "content-length": Buffer.byteLength(body) };
    const call = request(
      { host: "127.0.0.1", port, method: "POST", path: "/x", headers, agent: false },
      (res) => {
        let text = "";
        res.on("data", (part: Buffer) => {
          text += part.toString();
        });
        res.on("end", () =>
          resolve({
            status: res.statusCode ?? 0,
            body: text,
            retryAfter: String(res.headers["retry-after"]),
          }),
        );
      },
    );
    call.on("error", reject);
    call.end(body);
  });
}

const at = (port: number) => [{ address: "127.0.0.1", port }];

test("many requests wait, are asked for once, and each is answered once, large bodies too", async () => {
  const { held, port, asked, dropped } = await open();
  const body = "b".repeat(300_000);
  const all = Array.from({ length: 200 }, (_, i) => ask(port, "shop.x", i % 20 === 0 ? body : "small"));
  await vi.waitFor(() => expect(held.size).toBe(200), { timeout: 20_000 });
  expect(asked).toEqual(["shop.x"]);
  const { port: appPort, heads } = await app();
  held.tell({ hostname: "other.x", state: "open", instances: at(appPort) });
  expect(heads()).toBe(0);
  held.tell({ hostname: "shop.x", state: "open", instances: at(appPort) });
  const answers = await Promise.all(all);
  expect(new Set(answers.map(({ body: text }) => text))).toEqual(new Set(["POST /x 300000", "POST /x 5"]));
  expect(heads()).toBe(200);
  expect(dropped).toEqual(["shop.x"]);
}, 60_000);

test("an instance that does not listen yet is tried until it does", async () => {
  const { held, port } = await open();
  const appPort = await freePort();
  const answer = ask(port, "shop.x");
  await vi.waitFor(() => expect(held.size).toBe(1));
  held.tell({ hostname: "shop.x", state: "open", instances: at(appPort) });
  await app(appPort);
  expect((await answer).status).toBe(200);
});

test("one that thaws gets one request, the others wait until it runs", async () => {
  const { held, port } = await open();
  const { port: appPort, heads } = await app();
  const all = Array.from({ length: 5 }, () => ask(port, "shop.x"));
  await vi.waitFor(() => expect(held.size).toBe(5));
  held.tell({ hostname: "shop.x", state: "thawing", instances: at(appPort) });
  expect((await Promise.race(all)).status).toBe(200);
  expect([held.size, heads()]).toEqual([4, 1]);
  held.tell({ hostname: "shop.x", state: "waiting", instances: [] });
  held.tell({ hostname: "shop.x", state: "open", instances: at(appPort) });
  expect((await Promise.all(all)).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  expect(heads()).toBe(5);
});

test("past its limits it says 503 and when to come again; what waits too long is told the same", async () => {
  const { held, port } = await open({ heldPerService: 1, longestHoldMs: 300 });
  const first = ask(port, "shop.x");
  await vi.waitFor(() => expect(held.size).toBe(1));
  expect(await ask(port, "shop.x")).toMatchObject({ status: 503, retryAfter: "5" });
  expect(await first).toMatchObject({ status: 503, retryAfter: "5" });
  expect(held.size).toBe(0);
});

test("an unknown host name is 404, a head with two hosts 400", async () => {
  const { held, port, asked } = await open();
  const answer = ask(port, "shop.x");
  await vi.waitFor(() => expect(asked).toEqual(["shop.x"]));
  held.tell({ hostname: "shop.x", state: "unknown", instances: [] });
  expect((await answer).status).toBe(404);
  const socket = connect(port, "127.0.0.1");
  socket.write("GET / HTTP/1.1\r\nHost: a.x\r\nHost: b.x\r\n\r\n");
  const [first] = (await once(socket, "data")) as [Buffer];
  expect(first.toString()).toMatch(/^HTTP\/1.1 400 /);
  socket.destroy();
});

test("after an upgrade both sides may speak at any time", async () => {
  const { held, port } = await open();
  const echo = createServer((socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
      socket.on("data", (part) => socket.write(`echo ${part.toString()}`));
    });
  });
  const socket = connect(port, "127.0.0.1");
  closers.push(() => socket.destroy());
  socket.write("GET / HTTP/1.1\r\nHost: shop.x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  await vi.waitFor(() => expect(held.size).toBe(1));
  held.tell({ hostname: "shop.x", state: "open", instances: at(await listening(echo)) });
  const [head] = (await once(socket, "data")) as [Buffer];
  expect(head.toString()).toMatch(/^HTTP\/1.1 101 /);
  socket.write("hello");
  const [said] = (await once(socket, "data")) as [Buffer];
  expect(said.toString()).toBe("echo hello");
});

test("through an environment's door nobody waits for what came in elsewhere", async () => {
  const { held, port, asked } = await open();
  const environmentId = "env_00000000000000000000000001" as EnvironmentId;
  const door = await listening(createServer({ allowHalfOpen: true }, held.acceptFrom(environmentId)));
  const [plain, own] = [ask(port, "shop.x"), ask(door, "shop.x")];
  await vi.waitFor(() => expect(asked).toEqual(["shop.x", "shop.x"]));
  const { port: appPort } = await app();
  held.tell({ hostname: "shop.x", environmentId, state: "unknown", instances: [] });
  held.tell({ hostname: "shop.x", state: "open", instances: at(appPort) });
  expect([(await plain).status, (await own).status]).toEqual([200, 404]);
});
