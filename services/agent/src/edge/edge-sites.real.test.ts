/** Options of sites at the edge, with a real HAProxy on loopback: hot, per site, and no one else's. */
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { Agent, request } from "node:http";
import { connect } from "node:http2";
import type { RouteTable } from "@berth/shared/contracts/route.ts";
import type { HttpOptions } from "@berth/shared/domain/http-options.ts";
import { afterEach, expect, test } from "vitest";
import { type Answer, closeAll, ENV, endProxy, raw, startApp, startRig, table } from "./testing/edge-rig.ts";

const BINARY = process.env.BERTH_TEST_HAPROXY ?? "haproxy";

afterEach(closeAll);

const OPTIONS: HttpOptions = {
  sticky: true,
  bodyLimitBytes: 1024,
  responseTimeoutMs: 1000,
  streamTimeoutMs: 10_000,
  cors: {
    origins: ["https://app.example.com"],
    methods: ["GET", "PUT"],
    headers: ["X-Token"],
    credentials: true,
    maxAgeSeconds: 60,
  },
  redirects: [
    { from: "www.a.example", to: "https://a.example", status: 308 },
    { from: "/old", to: "/new", status: 301 },
    { from: "/docs/*", to: "https://docs.example/all?x=1", status: 307 },
  ],
  headers: {
    "content-security-policy": "default-src 'self'; img-src \"*\" %[src]",
    "x-frame-options": "DENY",
  },
};

function withOptions(made: RouteTable, http: HttpOptions, ...hostnames: string[]): RouteTable {
  const sites = made.sites.map((site) => (hostnames.includes(site.hostname) ? { ...site, http } : site));
  return { ...made, sites };
}

interface Asked {
  readonly method?: string;
  readonly headers?: object;
  readonly body?: string;
  readonly agent?: Agent;
}

function ask(
  port: number,
  host: string,
  path: string,
  { method = "GET", headers = {}, body = "", agent }: Asked = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const more = { method, headers: { host, ...headers }, ...(agent === undefined ? {} : { agent }) };
    const asked = request({ host: "127.0.0.1", port, path, ...more }, (res) => {
      let text = "";
      res.on("data", (data: Buffer) => {
        text += data.toString();
      });
      res.on("error", reject);
      res.on("end", () => resolve({ status: res.statusCode ?? 0, headers: res.headers, body: text }));
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

/** @returns the status of a request over HTTP/2 with a body whose length is not told */
async function unsized(port: number, host: string, method: string, body: string): Promise<number> {
  const session = connect(`http://127.0.0.1:${port}`);
  const stream = session.request(
    { ":method": method, ":authority": host, ":path": "/" },
    { endStream: false },
  );
  stream.on("error", () => undefined);
  stream.end(body);
  const [headers] = (await once(stream, "response")) as [{ ":status"?: number }];
  session.destroy();
  return headers[":status"] ?? 0;
}

const led = ({ status, headers }: Answer) => [status, headers.location];

test("limits, CORS, redirects and headers are a site's own, hot, and come back from the files", async () => {
  const rig = await startRig(BINARY);
  const app = await startApp("one", (server) =>
    server.prependListener("request", (req, res) => {
      res.setHeader("Access-Control-Allow-Origin", "*");
      const end = res.end.bind(res);
      if (req.url === "/slow") res.end = (() => res) as typeof res.end;
      // Silent for longer than the site gives an answer, and shorter than it gives a stream.
      if (req.url === "/pause")
        res.end = ((): typeof res => {
          res.write("first ");
          setTimeout(() => end("last"), 2500);
          return res;
        }) as typeof res.end;
    }),
  );
  const plain = table(1, { "a.example": [app.port], "www.a.example": [app.port], "b.example": [app.port] });
  expect(await rig.edge.apply([plain])).toEqual([{ environmentId: ENV, version: 1 }]);
  const next = withOptions({ ...plain, version: 2 }, OPTIONS, "a.example", "www.a.example");
  // Redirects from a host name are that name's alone: the router sends them so.
  const own = { ...OPTIONS, redirects: OPTIONS.redirects?.slice(1) ?? [] };
  const sent = withOptions(next, own, "a.example");
  expect(await rig.edge.apply([sent])).toEqual([{ environmentId: ENV, version: 2 }]);

  const check = async () => {
    const to = (host: string, path: string, more = {}) => ask(rig.port, host, path, more);
    expect(led(await to("www.a.example", "/some?q=1"))).toEqual([308, "https://a.example/some?q=1"]);
    expect(led(await to("a.example", "/old"))).toEqual([301, "/new"]);
    expect(led(await to("a.example", "/old?q=%0d%0aX:1"))).toEqual([301, "/new?q=%0d%0aX:1"]);
    expect(led(await to("a.example", "/docs/deep/er?q=1"))).toEqual([307, "https://docs.example/all?x=1"]);
    expect((await to("a.example", "/old/er")).status).toBe(200);
    expect(led(await to("b.example", "/old"))).toEqual([200, undefined]);

    const origin = "https://app.example.com";
    const preflight = { "access-control-request-method": "PUT", origin };
    const allowed = await to("a.example", "/", { method: "OPTIONS", headers: preflight });
    expect(allowed).toMatchObject({
      status: 204,
      headers: {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "GET,PUT",
        "access-control-allow-headers": "X-Token",
        "access-control-allow-credentials": "true",
        "access-control-max-age": "60",
        "x-frame-options": "DENY",
        vary: "Origin",
      },
    });
    const stranger = { ...preflight, origin: "https://evil.example" };
    expect((await to("a.example", "/", { method: "OPTIONS", headers: stranger })).status).toBe(403);
    const read = await to("a.example", "/", { headers: { origin } });
    expect([read.status, read.headers["access-control-allow-origin"]]).toEqual([200, origin]);
    const refused = await to("a.example", "/", { headers: { origin: stranger.origin } });
    expect([refused.status, refused.headers["access-control-allow-origin"]]).toEqual([200, undefined]);
    expect((await to("b.example", "/")).headers["access-control-allow-origin"]).toBe("*");
    expect(read.headers["content-security-policy"]).toBe(OPTIONS.headers?.["content-security-policy"]);
    expect((await to("b.example", "/")).headers["x-frame-options"]).toBeUndefined();

    const post = (host: string, body: string, headers = {}) =>
      to(host, "/", { method: "POST", body, headers });
    const sized = (body: string) => ({ "content-length": String(body.length) });
    const [small, large] = ["x".repeat(1024), "x".repeat(1025)];
    expect((await post("a.example", small, sized(small))).status).toBe(200);
    expect((await post("a.example", large, sized(large))).status).toBe(413);
    expect((await post("b.example", large, sized(large))).status).toBe(200);
    const chunked = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    expect(await raw(rig.port, chunked)).toMatch(/^HTTP\/1\.1 411/);
    for (const method of ["POST", "GET"])
      expect(await unsized(rig.port, "a.example", method, "x".repeat(4096)), method).toBe(411);
    expect(await unsized(rig.port, "b.example", "POST", "x".repeat(4096))).toBe(200);
  };
  await check();
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const stream = { headers: { accept: "text/html, Text/Event-Stream;q=0.9" } };
  const to = (path: string, more: Asked = {}) => ask(rig.port, "a.example", path, more);
  const posted = async (path: string) => await to(path, { method: "POST", agent });
  const [late, secondLate, streamed, cut] = await Promise.all([
    to("/slow"),
    posted("/").then(() => posted("/slow")),
    to("/pause", stream),
    to("/pause").catch((error: Error) => error.message),
  ]);
  agent.destroy();
  expect([late.status, secondLate.status, streamed.body]).toEqual([504, 504, "first last"]);
  expect(late.body).toContain("http.response-timeout");
  expect(cut).toBe("aborted");
  // It ends with its files written.
  await rig.edge.close();
  await endProxy(rig.proxy);
  await rm(`${rig.dir}/haproxy.sock`, { force: true });
  rig.proxy = await rig.startProxy();
  await check();
  const again = rig.openEdge();
  await again.start();
  expect(await again.apply([{ ...plain, version: 3 }], new Set([ENV]))).toEqual([
    { environmentId: ENV, version: 3 },
  ]);
  expect(led(await ask(rig.port, "a.example", "/old"))).toEqual([200, undefined]);
});

test("a browser stays with its instance by a cookie, and goes to another when that one leaves", async () => {
  const rig = await startRig(BINARY);
  const apps = await Promise.all(["one", "two", "three"].map((name) => startApp(name)));
  const ports = apps.map(({ port }) => port);
  const sticky = (version: number, some: number[]) =>
    withOptions(table(version, { "a.example": some, "b.example": some }), { sticky: true }, "a.example");
  await rig.edge.apply([sticky(1, ports)], new Set([ENV]));
  const visit = async (host: string, cookie = "", more: Asked = {}) => {
    const asked = { ...more, headers: cookie === "" ? {} : { cookie } };
    const { body, headers } = await ask(rig.port, host, "/", asked);
    return { name: (JSON.parse(body) as { name: string }).name, given: headers["set-cookie"]?.[0] ?? "" };
  };
  const first = await visit("a.example");
  expect(first.given).toMatch(/^berth_instance=[0-9A-F]{40}; Path=\/; HttpOnly; SameSite=Lax$/);
  const cookie = first.given.split(";")[0] ?? "";
  for (let i = 0; i < 12; i++)
    expect(await visit("a.example", cookie)).toEqual({ name: first.name, given: "" });
  expect((await visit("b.example", cookie)).given).toBe("");
  // What may not be repeated takes another way through the proxy when it is not a connection's first request.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (const method of ["GET", "POST", "POST", "GET"])
    expect(await visit("a.example", cookie, { method, agent })).toEqual({ name: first.name, given: "" });
  const made = await visit("a.example", "", { method: "POST", agent });
  expect(made.given).toMatch(/^berth_instance=[0-9A-F]{40}; Path=\/; HttpOnly; SameSite=Lax$/);
  expect((await visit("a.example", made.given.split(";")[0])).given).toBe("");
  agent.destroy();
  expect((await visit("a.example", "berth_instance=../x@y")).given).toMatch(/^berth_instance=/);
  const leaving = ["one", "two", "three"].indexOf(first.name);
  await rig.edge.apply([
    sticky(
      2,
      ports.filter((_port, index) => index !== leaving),
    ),
  ]);
  const moved = await visit("a.example", cookie);
  expect(moved.name).not.toBe(first.name);
  expect(moved.given).toMatch(/^berth_instance=/);
});

test("a table with options that could speak to the proxy is refused as a whole", async () => {
  const rig = await startRig(BINARY);
  const app = await startApp("one");
  const made = table(1, { "a.example": [app.port] });
  const bad = { headers: { "x-frame-options": "DENY\r\nSet-Cookie: a=b" } } as HttpOptions;
  expect(await rig.edge.apply([withOptions(made, bad, "a.example")])).toEqual([]);
  expect((await ask(rig.port, "a.example", "/")).status).toBe(404);
  expect(await rig.edge.apply([made])).toHaveLength(1);
});
