/** HTTPS at the edge: a real HAProxy on loopback, curl, TLS and WebSocket clients. */
import { createHash, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile, rm } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import type { RouteTable } from "@berth/shared/contracts/route.ts";
import { TestAuthority } from "@berth/shared/testing/certificates.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import { afterEach, expect, test, vi } from "vitest";
import { runCommand } from "../outbound/run-command.ts";
import type { EdgeCertificate } from "./core/edge-tls.ts";
import { closeAll, closers, ENV, endProxy, get, raw, startApp, startRig, table } from "./testing/edge-rig.ts";

const BINARY = process.env.BERTH_TEST_HAPROXY ?? "haproxy";
const OTHER = "env_00000000000000000000000002";

afterEach(closeAll);

async function startTlsRig() {
  const authority = await TestAuthority.create();
  const held = new Map<string, EdgeCertificate>();
  const port = await freePort();
  const dir = `/tmp/berth-edge-tls-${process.pid}-${port}`;
  closers.push(() => rm(dir, { recursive: true, force: true }));
  const tls = { port, dir, certificates: (id: string) => held.get(id) };
  const rig = await startRig(BINARY, { tls });
  const issue = async (id: string, ...names: string[]): Promise<EdgeCertificate> => {
    const leaf = await authority.leaf({ names });
    const pem = `${leaf.certificate}\n${authority.intermediate}\n${leaf.key}`;
    const fingerprint = new X509Certificate(leaf.certificate).fingerprint.replaceAll(":", "");
    held.set(id, { pem, fingerprint });
    return { pem, fingerprint };
  };
  return { ...rig, rig, held, issue, tlsPort: port, tlsDir: dir, root: authority.root };
}

/** Every host name with a certificate of the given id. */
function secured(version: number, sites: Record<string, [number, string]>, more = {}, environment = ENV) {
  const ports = Object.fromEntries(Object.entries(sites).map(([name, [port]]) => [name, [port]]));
  const made = table(version, ports, environment);
  const withTls = made.sites.map((site) => {
    const tls = { certificateId: sites[site.hostname]?.[1], name: site.hostname };
    return { ...site, tls, ...more };
  });
  return { ...made, sites: withTls } as unknown as RouteTable;
}

function open(port: number, servername: string, ca: string, ALPNProtocols?: string[]): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      port,
      host: "127.0.0.1",
      servername,
      ca,
      ...(ALPNProtocols ? { ALPNProtocols } : {}),
    });
    closers.push(() => void socket.destroy());
    socket.once("secureConnect", () => resolve(socket));
    socket.once("error", reject);
  });
}

async function ask(socket: TLSSocket, host: string, headers = ""): Promise<string> {
  socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n${headers}\r\n`);
  const [data] = (await once(socket, "data")) as [Buffer];
  return data.toString();
}

const servedBy = (socket: TLSSocket) => socket.getPeerX509Certificate()?.fingerprint.replaceAll(":", "");

test("serves each name its own certificate over h2 and HTTP/1.1, and strangers none", async () => {
  const { rig, issue, tlsPort, root, tlsDir } = await startTlsRig();
  const app = await startApp("one");
  const one = await issue("crt_1", "a.example");
  const wide = await issue("crt_2", "*.wide.example");
  const sites = { "a.example": [app.port, "crt_1"] as [number, string] };
  const theirs = secured(1, { "*.wide.example": [app.port, "crt_2"] }, {}, OTHER);
  expect(
    await rig.edge.apply([secured(1, sites, { httpsOnly: true, hstsSeconds: 60 }), theirs]),
  ).toHaveLength(2);
  const curl = (url: string, ...more: string[]) =>
    runCommand(["curl", "-sS", "-k", "--resolve", `*:${tlsPort}:127.0.0.1`, "-D", "-", ...more, url]);
  const h2 = await curl(`https://a.example:${tlsPort}/`, "--http2", "-H", "X-Forwarded-Proto: http");
  expect(h2).toMatch(/^HTTP\/2 200/);
  expect(h2).toContain("strict-transport-security: max-age=60");
  expect(h2).toContain('"x-forwarded-proto":"https"');
  expect(await curl(`https://a.example:${tlsPort}/`, "--http1.1")).toMatch(/^HTTP\/1\.1 200/);
  const own = await open(tlsPort, "a.example", root);
  expect(servedBy(own)).toBe(one.fingerprint);
  expect(await ask(own, "any.wide.example")).toMatch(/^HTTP\/1\.1 421/);
  expect(servedBy(await open(tlsPort, "any.wide.example", root))).toBe(wide.fingerprint);
  for (const name of ["b.example", "a.b.wide.example", "wide.example", ""])
    await expect(open(tlsPort, name, root), name).rejects.toThrow();
  const led = await get(rig.port, "A.example");
  expect([led.status, led.headers.location]).toEqual([
    ...[308, `https://a.example:${tlsPort}/some/path?token=secret`],
  ]);
  expect((await get(rig.port, "any.wide.example", { "x-forwarded-proto": "https" })).body).toContain(
    '"x-forwarded-proto":"http"',
  );
  // Keys are in the folder in memory and in no other file.
  for (const name of await readdir(rig.dir))
    if (!name.endsWith(".sock"))
      expect(await readFile(join(rig.dir, name), "utf8"), name).not.toContain("PRIVATE KEY");
  expect((await readdir(tlsDir)).sort()).toContain("ready");
});

test("a changed certificate is served at once, without a reload, and open connections go on", async () => {
  const { rig, issue, tlsPort, root } = await startTlsRig();
  const app = await startApp("ws", (server) =>
    server.on("upgrade", (req, socket) => {
      const key = `${req.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
      const accept = createHash("sha1").update(key).digest("base64");
      const head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
      socket.write(`${head}\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
      socket.on("data", (data: Buffer) => socket.write(`echo:${data.toString()}`));
      socket.on("error", () => undefined);
    }),
  );
  const sites = (id: string): Record<string, [number, string]> => ({ "a.example": [app.port, id] });
  const first = await issue("crt_1", "a.example");
  await rig.edge.apply([secured(1, sites("crt_1"))]);
  const process = rig.edge.status().proxyVersion;
  const kept = await open(tlsPort, "a.example", root);
  const socket = await open(tlsPort, "a.example", root);
  const upgrade =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n";
  expect(await ask(socket, "a.example", `${upgrade}Sec-WebSocket-Version: 13\r\n`)).toContain(
    "101 Switching",
  );
  // The table is not served before the host has the certificate.
  expect(await rig.edge.apply([secured(2, sites("crt_2"))])).toEqual([]);
  expect(servedBy(await open(tlsPort, "a.example", root))).toBe(first.fingerprint);
  const second = await issue("crt_2", "a.example");
  rig.acks.length = 0;
  await rig.edge.verify();
  expect(rig.acks).toEqual([{ environmentId: ENV, version: 2 }]);
  expect(servedBy(await open(tlsPort, "a.example", root))).toBe(second.fingerprint);
  socket.write("hello");
  expect(String((await once(socket, "data"))[0])).toContain("echo:hello");
  expect(await ask(kept, "a.example")).toMatch(/^HTTP\/1\.1 200/);
  expect(rig.edge.status().proxyVersion).toBe(process);
  expect(rig.log()).not.toContain("PRIVATE KEY");
  // Its end: no certificate, no option, plain HTTP goes on.
  await rig.edge.apply([table(3, { "a.example": [app.port] })], new Set([ENV]));
  await expect(open(tlsPort, "a.example", root)).rejects.toThrow();
  expect((await get(rig.port, "a.example")).status).toBe(200);
});

test("a proxy that starts by itself serves HTTPS from its files; a transaction left behind blocks nobody", async () => {
  const { rig, issue, tlsPort, root, tlsDir } = await startTlsRig();
  const app = await startApp("one");
  const first = await issue("crt_1", "a.example");
  await rig.edge.apply([secured(1, { "a.example": [app.port, "crt_1"] })]);
  await vi.waitFor(async () => expect(await readdir(tlsDir)).toContain("a.example.pem"), { timeout: 10_000 });
  await rig.edge.close();
  await endProxy(rig.proxy);
  await rm(join(rig.dir, "haproxy.sock"), { force: true });
  rig.proxy = await rig.startProxy();
  expect(servedBy(await open(tlsPort, "a.example", root))).toBe(first.fingerprint);
  const left = connectTcp(join(rig.dir, "haproxy.sock"));
  const lines = first.pem.split("\n").filter((line) => line !== "");
  left.write(`set ssl cert ${tlsDir}/a.example.pem <<\n${lines.join("\n")}\n\n`);
  await once(left, "data");
  left.destroy();
  const again = rig.openEdge();
  await again.start();
  const second = await issue("crt_2", "b.example");
  const both: Record<string, [number, string]> = {
    ...{ "a.example": [app.port, "crt_1"], "b.example": [app.port, "crt_2"] },
  };
  await again.apply([secured(2, both)]);
  await again.verify();
  expect(again.status().applied).toEqual({ [ENV]: 2 });
  expect(servedBy(await open(tlsPort, "b.example", root))).toBe(second.fingerprint);
});

test("answers an authority's challenge over plain HTTP, before allow-lists and the way to HTTPS, for its name alone", async () => {
  const { rig, issue } = await startTlsRig();
  const app = await startApp("one");
  await issue("crt_1", "a.example");
  const challenge = { token: "tok_EN-1", keyAuthorization: "tok_EN-1.thumb_PRINT-1" };
  const more = { httpsOnly: true, allow: ["203.0.113.7/32"], challenge };
  const theirs = table(1, { "b.example": [app.port] }, OTHER);
  expect(await rig.edge.apply([secured(1, { "a.example": [app.port, "crt_1"] }, more), theirs])).toHaveLength(
    2,
  );
  const ask = (host: string, token: string) =>
    raw(rig.port, `GET /.well-known/acme-challenge/${token} HTTP/1.0\r\nHost: ${host}\r\n\r\n`);
  expect(await ask("a.example", challenge.token)).toMatch(
    /^HTTP\/1\.\d 200[\s\S]*\r\n\r\ntok_EN-1\.thumb_PRINT-1$/,
  );
  expect(await ask("a.example", "other")).toMatch(/^HTTP\/1\.\d 403/);
  expect(await ask("b.example", challenge.token)).not.toContain("thumb_PRINT");
  await rig.edge.apply([secured(2, { "a.example": [app.port, "crt_1"] })], new Set([ENV, OTHER]));
  expect(await ask("a.example", challenge.token)).not.toContain("thumb_PRINT");
});

test("garbage on the HTTPS port costs nobody else", async () => {
  const { rig, issue, tlsPort, root } = await startTlsRig();
  const app = await startApp("one");
  await issue("crt_1", "a.example");
  await rig.edge.apply([secured(1, { "a.example": [app.port, "crt_1"] })]);
  const junk = connectTcp(tlsPort, "127.0.0.1");
  junk.on("error", () => undefined);
  junk.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
  await once(junk, "close");
  expect(await ask(await open(tlsPort, "a.example", root), "a.example")).toMatch(/^HTTP\/1\.1 200/);
});
