/**
 * The edge with a real HAProxy on loopback. `BERTH_TEST_HAPROXY` names another binary than `haproxy`.
 * Bounded: a few thousand requests, every process started here is ended here.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { Agent } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import type { EdgeGiven } from "./edge-types.ts";
import { RuntimeClient } from "./shell/runtime-client.ts";
import * as rigs from "./testing/edge-rig.ts";
import {
  closeAll,
  closers,
  ENV,
  endProxy,
  get,
  jobId,
  killProxy,
  raw,
  startApp,
  table,
} from "./testing/edge-rig.ts";

const BINARY = process.env.BERTH_TEST_HAPROXY ?? "haproxy";
const startRig = (more: Partial<EdgeGiven> = {}): Promise<rigs.Rig> => rigs.startRig(BINARY, more);

afterEach(closeAll);

test("serves a host name in every spelling, 404 for strangers, 503 while nothing is ready", async () => {
  const rig = await startRig();
  const app = await startApp("one");
  const acks = await rig.edge.apply([table(1, { "a.localhost": [app.port], "empty.localhost": [] })]);
  expect(acks).toEqual([{ environmentId: ENV, version: 1 }]);
  for (const host of ["a.localhost", "A.LocalHost", "a.localhost:8000", "a.localhost."]) {
    expect((await get(rig.port, host)).status, host).toBe(200);
  }
  const unknown = await get(rig.port, "b.localhost");
  expect(unknown.status).toBe(404);
  expect(unknown.body).toContain("No app answers");
  expect(unknown.headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
  const empty = await get(rig.port, "empty.localhost");
  expect(empty.status).toBe(503);
  expect(empty.headers["retry-after"]).toBe("5");
  expect(await raw(rig.port, "GET / HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1\.\d 404/);
  expect(await raw(rig.port, "GET / HTTP/1.1\r\nHost: a.localhost:1<x>\r\n\r\n")).toMatch(/^HTTP\/1\.\d 400/);
  await vi.waitFor(() => expect(rig.log()).toContain('"host":"a.localhost"'));
  expect(rig.log()).toContain('"status":503');
  expect(rig.log()).not.toContain("token=secret");
});

test("an allow-list counts the connection's own address, from the first moment and across restarts", async () => {
  const rig = await startRig();
  const app = await startApp("one");
  const from = async (localAddress: string, headers: Record<string, string> = {}, host = "a.localhost") => {
    const agent = new Agent({ localAddress } as object);
    closers.push(() => agent.destroy());
    return (await get(rig.port, host, headers, agent)).status;
  };
  const tables = (version: number, allow?: readonly string[]) =>
    table(version, { "a.localhost": [app.port] }, ENV, allow);
  const other = "env_00000000000000000000000002";
  await rig.edge.apply([table(1, { "b.localhost": [app.port] }, other)]);
  expect(await rig.edge.apply([tables(1, ["127.0.7.0/24", "127.0.0.9/32"])])).toHaveLength(1);
  expect(await from("127.0.7.200")).toBe(200);
  expect(await from("127.0.0.9")).toBe(200);
  expect(await from("127.0.0.1")).toBe(403);
  expect(await from("127.0.8.1")).toBe(403);
  const forged = { "x-forwarded-for": "127.0.7.1", "x-real-ip": "127.0.7.1", forwarded: "for=127.0.7.1" };
  expect(await from("127.0.0.1", forged)).toBe(403);
  expect(await from("127.0.0.1", {}, "A.localhost.:80")).toBe(403);
  expect(await from("127.0.0.1", {}, "b.localhost")).toBe(200);
  const refused = await get(rig.port, "a.localhost");
  expect(refused.body).toContain("Not from here");
  expect(refused.body).not.toContain("a.localhost");
  // A proxy that starts by itself has it from its files.
  await rig.edge.apply([tables(2, ["127.0.0.0/8"])]);
  expect(await from("127.0.8.1")).toBe(200);
  await rig.edge.apply([tables(3, ["127.0.7.0/24"])]);
  const fileOf = (name: string) => readFile(join(rig.dir, name), "utf8");
  await vi.waitFor(
    async () => {
      expect(await fileOf("sources.map")).toContain("127.0.7.0/24");
      expect(await fileOf("sources.map")).not.toContain("/8");
      // Comes last.
      expect(await fileOf("haproxy.cfg")).toContain(`127.0.0.1:${app.port}`);
    },
    { timeout: 10_000 },
  );
  await endProxy(rig.proxy);
  rig.proxy = await rig.startProxy();
  await vi.waitFor(async () => expect(await from("127.0.8.1")).toBe(403), { timeout: 10_000 });
  expect(await from("127.0.7.1")).toBe(200);
  await rig.edge.verify();
  expect(await rig.edge.apply([tables(4)])).toEqual([{ environmentId: ENV, version: 4 }]);
  expect(await from("127.0.8.1")).toBe(200);
});

test("only a trusted load balancer is believed whom it speaks for", async () => {
  const rig = await startRig({ trustedProxies: ["127.0.0.5/32"] });
  const app = await startApp("one");
  await rig.edge.apply([table(1, { "a.localhost": [app.port] }, ENV, ["203.0.113.7/32"])]);
  const ask = async (localAddress: string, client: string): Promise<string> => {
    const socket = connect({ port: rig.port, host: "127.0.0.1", localAddress });
    socket.end(
      `PROXY TCP4 ${client} 203.0.113.1 4711 80\r\nGET / HTTP/1.1\r\nHost: a.localhost\r\nConnection: close\r\n\r\n`,
    );
    let said = "";
    for await (const chunk of socket) said += String(chunk);
    return said.slice(9, 12);
  };
  expect(await ask("127.0.0.5", "203.0.113.7")).toBe("200");
  expect(await ask("127.0.0.5", "203.0.113.8")).toBe("403");
  expect(await ask("127.0.0.6", "203.0.113.7")).toBe("400");
});

test("in maintenance the edge answers 503 itself, and its end is at once", async () => {
  const rig = await startRig();
  const app = await startApp("one");
  const on = (version: number) => {
    const made = table(version, { "a.localhost": [app.port], "b.localhost": [app.port] });
    const [site, other] = made.sites;
    return { ...made, sites: [{ ...site, maintenance: true }, other] } as unknown as typeof made;
  };
  expect(await rig.edge.apply([on(1)])).toEqual([{ environmentId: ENV, version: 1 }]);
  const down = await get(rig.port, "a.localhost");
  expect(down).toMatchObject({ status: 503, body: expect.stringContaining("maintenance") });
  expect(down.headers).toMatchObject({ "retry-after": "60", "cache-control": "no-store" });
  expect((await get(rig.port, "b.localhost")).status).toBe(200);
  await rig.edge.apply([table(2, { "a.localhost": [app.port], "b.localhost": [app.port] })]);
  expect((await get(rig.port, "a.localhost")).status).toBe(200);
  await rig.edge.apply([on(3)]);
  expect((await get(rig.port, "a.localhost")).status).toBe(503);
});

test("overwrites forged headers, passes traceparent, gives every request an id", async () => {
  const rig = await startRig();
  const app = await startApp("one");
  await rig.edge.apply([table(1, { "a.localhost": [app.port] })]);
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const answer = await get(rig.port, "a.localhost:8000", {
    "x-forwarded-for": "6.6.6.6",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "evil.example",
    "x-forwarded-prefix": "/evil",
    forwarded: "for=6.6.6.6",
    "x-real-ip": "6.6.6.6",
    x_forwarded_for: "6.6.6.6",
    "x-request-id": "forged",
    proxy: "http://evil.example",
    upgrade: "h2c",
    connection: "upgrade, http2-settings",
    traceparent,
  });
  const { headers } = JSON.parse(answer.body) as { headers: Record<string, string> };
  expect(headers["x-forwarded-for"]).toBe("127.0.0.1");
  expect(headers["x-forwarded-proto"]).toBe("http");
  expect(headers["x-forwarded-host"]).toBe("a.localhost:8000");
  expect(headers.host).toBe("a.localhost:8000");
  expect(headers.traceparent).toBe(traceparent);
  for (const name of [
    "forwarded",
    "x-real-ip",
    "x_forwarded_for",
    "x-forwarded-prefix",
    "proxy",
    "upgrade",
  ]) {
    expect(headers[name], name).toBeUndefined();
  }
  expect(answer.headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
  expect(headers["x-request-id"]).toBe(answer.headers["x-request-id"]);
});

test("no request fails while the backends are swapped under load", { timeout: 60_000 }, async () => {
  const rig = await startRig();
  const apps = await Promise.all(Array.from({ length: 6 }, (_, i) => startApp(`app${i}`)));
  const port = (i: number): number => apps[i % apps.length]?.port ?? 0;
  await rig.edge.apply([table(1, { "a.localhost": [port(0), port(1)] })]);
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  closers.push(() => agent.destroy());
  const seen = new Map<string, number>();
  const failures: string[] = [];
  let running = true;
  const worker = async (): Promise<void> => {
    while (running) {
      const answer = await get(rig.port, "a.localhost", {}, agent).catch((e: Error) => e);
      if (answer instanceof Error) failures.push(answer.message);
      else if (answer.status !== 200) failures.push(`status ${answer.status}`);
      else {
        const { name } = JSON.parse(answer.body) as { name: string };
        seen.set(name, (seen.get(name) ?? 0) + 1);
      }
    }
  };
  const workers = Array.from({ length: 16 }, worker);
  const times: number[] = [];
  for (let version = 2; version <= 40; version++) {
    const started = performance.now();
    const acks = await rig.edge.apply([
      table(version, { "a.localhost": [port(version), port(version + 1)] }),
    ]);
    times.push(performance.now() - started);
    expect(acks).toEqual([{ environmentId: ENV, version }]);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  running = false;
  await Promise.all(workers);
  const total = [...seen.values()].reduce((a, b) => a + b, 0);
  times.sort((a, b) => a - b);
  console.log(
    `${total} requests, ${failures.length} failed; apply p50 ${times[19]?.toFixed(1)} ms, max ${times.at(-1)?.toFixed(1)} ms`,
  );
  expect(failures).toEqual([]);
  expect(total).toBeGreaterThan(500);
  expect(seen.size).toBe(6);
});

test("a replica that dies costs no request while another one is there", { timeout: 30_000 }, async () => {
  const rig = await startRig();
  const [one, two] = await Promise.all([startApp("one"), startApp("two")]);
  await rig.edge.apply([table(1, { "a.localhost": [one.port, two.port] })]);
  one.server.close();
  one.server.closeAllConnections();
  const statuses = new Set<number>();
  for (let i = 0; i < 200; i++) statuses.add((await get(rig.port, "a.localhost")).status);
  expect([...statuses]).toEqual([200]);
});

test("a WebSocket upgrade passes, and outlives the drain of its server until the grace ends", {
  timeout: 20_000,
}, async () => {
  const rig = await startRig({ drainGraceMs: 400, verifyEveryMs: 50 });
  const app = await startApp("ws", (server) => {
    server.on("upgrade", (req, socket) => {
      const key = `${req.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
      const accept = createHash("sha1").update(key).digest("base64");
      const head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
      socket.write(`${head}\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
      socket.on("data", (d: Buffer) => socket.write(`echo:${d.toString()}`));
      socket.on("error", () => undefined);
    });
  });
  await rig.edge.apply([table(1, { "a.localhost": [app.port] })]);
  const socket = connect(rig.port, "127.0.0.1");
  closers.push(() => void socket.destroy());
  let out = "";
  let closed = false;
  socket.on("data", (d: Buffer) => {
    out += d.toString();
  });
  socket.on("close", () => {
    closed = true;
  });
  socket.write(
    "GET / HTTP/1.1\r\nHost: a.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
  );
  await vi.waitFor(() => expect(out).toContain("101 Switching"));
  const drained = performance.now();
  const acks = await rig.edge.apply([table(2, { "a.localhost": [] })]);
  expect(acks).toEqual([{ environmentId: ENV, version: 2 }]);
  socket.write("hello");
  await vi.waitFor(() => expect(out).toContain("echo:hello"));
  expect(closed).toBe(false);
  await vi.waitFor(() => expect(closed).toBe(true), { timeout: 10_000 });
  expect(performance.now() - drained).toBeGreaterThan(300);
  const client = new RuntimeClient(join(rig.dir, "haproxy.sock"));
  const gone = async (): Promise<void> =>
    expect(await client.ask("show servers state slot_0")).not.toContain("job_");
  await vi.waitFor(gone, { timeout: 5000 });
});

test("refuses what smugglers send, and never lets the rest of a CL.TE request through", async () => {
  const rig = await startRig();
  const got: string[] = [];
  const server = createTcpServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (d) => {
      got.push(d.toString());
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => void server.close());
  await rig.edge.apply([table(1, { "a.localhost": [(server.address() as AddressInfo).port] })]);
  const head = "POST / HTTP/1.1\r\nHost: a.localhost\r\n";
  const refused = [
    `${head}Content-Length: 6\r\nContent-Length: 5\r\n\r\n0\r\n\r\nG`,
    `${head}Content-Length: 6\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nG`,
    `${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\nG`,
    `${head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\nG`,
    `${head}Content-Length: +5\r\n\r\nGET /`,
    "GET / HTTP/1.1\r\nHost: a.localhost\r\nHost: b.localhost\r\n\r\n",
    "GET http://b.localhost/ HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
  ];
  for (const text of refused) expect(await raw(rig.port, text), text).toMatch(/^HTTP\/1\.\d 400/);
  expect(got).toEqual([]);
  const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.localhost\r\n\r\n";
  const clte = `${head}Content-Length: ${5 + smuggled.length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`;
  const answers = await raw(rig.port, clte);
  expect(answers.match(/HTTP\/1\.1/g)).toHaveLength(1);
  expect(got.join("")).not.toContain("smuggled");
  expect(got.join("").toLowerCase()).not.toContain("content-length");
});

test("more host names than slots: a hitless reload with twice as many", { timeout: 60_000 }, async () => {
  const rig = await startRig({ initialSlots: 4 });
  const app = await startApp("one");
  const sites = (n: number): Record<string, number[]> =>
    Object.fromEntries(Array.from({ length: n }, (_, i) => [`h${i}.localhost`, [app.port]]));
  await rig.edge.apply([table(1, sites(3))]);
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  closers.push(() => agent.destroy());
  const failures: string[] = [];
  let running = true;
  let total = 0;
  const workers = Array.from({ length: 8 }, async () => {
    while (running) {
      const answer = await get(rig.port, "h0.localhost", {}, agent).catch((e: Error) => e);
      total++;
      if (answer instanceof Error) failures.push(answer.message);
      else if (answer.status !== 200) failures.push(String(answer.status));
    }
  });
  const acks = await rig.edge.apply([table(2, sites(11))]);
  expect(acks).toEqual([{ environmentId: ENV, version: 2 }]);
  expect(rig.edge.status().slots).toBe(16);
  for (let i = 0; i < 11; i++) expect((await get(rig.port, `h${i}.localhost`)).status).toBe(200);
  running = false;
  await Promise.all(workers);
  console.log(
    `${total} requests around the reload, ${failures.length} failed: ${[...new Set(failures)].join(", ")}`,
  );
  expect(failures).toEqual([]);
});

test("kill -9 of the proxy: it serves from its files, and the edge acknowledges again", {
  timeout: 30_000,
}, async () => {
  const rig = await startRig({ verifyEveryMs: 100 });
  const [one, two] = await Promise.all([startApp("one"), startApp("two")]);
  await rig.edge.apply([table(1, { "a.localhost": [one.port] })]);
  const configHas = async (port: number): Promise<void> =>
    expect(await readFile(join(rig.dir, "haproxy.cfg"), "utf8")).toContain(`127.0.0.1:${port}`);
  await vi.waitFor(() => configHas(one.port), { timeout: 5000 });
  await killProxy(rig);
  expect(await rig.edge.apply([table(2, { "a.localhost": [two.port], "b.localhost": [two.port] })])).toEqual(
    [],
  );
  rig.acks.length = 0;
  rig.proxy = await rig.startProxy();
  await vi.waitFor(() => expect(rig.acks).toContainEqual({ environmentId: ENV, version: 2 }), {
    timeout: 2000,
  });
  expect((JSON.parse((await get(rig.port, "a.localhost")).body) as { name: string }).name).toBe("two");
  expect((await get(rig.port, "b.localhost")).status).toBe(200);
});

test("a restart of both with no control plane serves the last state; a late table changes nothing", async () => {
  const rig = await startRig();
  const app = await startApp("one");
  await rig.edge.apply([table(5, { "a.localhost": [app.port] })]);
  await rig.edge.close();
  await endProxy(rig.proxy);
  await rm(join(rig.dir, "haproxy.sock"), { force: true });
  rig.proxy = await rig.startProxy();
  expect((await get(rig.port, "a.localhost")).status).toBe(200);
  const again = rig.openEdge();
  await again.start();
  await again.verify();
  expect(again.known()).toEqual({ [ENV]: 5 });
  expect(again.status().applied).toEqual({ [ENV]: 5 });
  expect(await again.apply([table(4, {})])).toEqual([{ environmentId: ENV, version: 5 }]);
  expect((await get(rig.port, "a.localhost")).status).toBe(200);
});

test("somebody's change by hand is repaired, and one tenant's bad table harms no other", async () => {
  const rig = await startRig();
  const app = await startApp("one");
  const other = "env_00000000000000000000000002";
  await rig.edge.apply([table(1, { "a.localhost": [app.port] })]);
  const bad = table(1, { "x\n.localhost": [app.port] }, other);
  expect(
    await rig.edge.apply([bad, table(2, { "a.localhost": [app.port], "b.localhost": [app.port] })]),
  ).toEqual([{ environmentId: ENV, version: 2 }]);
  const client = new RuntimeClient(join(rig.dir, "haproxy.sock"));
  await client.ask(`set server slot_0/${jobId(app.port)}-127.0.0.1-${app.port} state maint`);
  await client.ask(`del map ${join(rig.dir, "hosts.map")} b.localhost`);
  expect((await get(rig.port, "a.localhost")).status).toBe(503);
  await rig.edge.verify();
  expect((await get(rig.port, "a.localhost")).status).toBe(200);
  expect((await get(rig.port, "b.localhost")).status).toBe(200);
});
