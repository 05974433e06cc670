/** HTTPS ends in a container of the environment: a real engine, packet filter, HAProxy in front and inside, and clients. */
import { X509Certificate } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { Agent, request } from "node:https";
import { join } from "node:path";
import type { ProxyReport, RouteTable } from "@berth/shared/contracts/route.ts";
import { EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";
import { createLog } from "@berth/shared/kit/log.ts";
import { TestAuthority } from "@berth/shared/testing/certificates.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { HostRoutes } from "../edge/host-routes.ts";
import { RuntimeClient } from "../edge/shell/runtime-client.ts";
import { closeAll, closers, jobId, type Rig, startRig } from "../edge/testing/edge-rig.ts";
import { readSeccompProfile } from "../outbound/host-files.ts";
import { runCommand } from "../outbound/run-command.ts";
import { newTestId } from "../testing/ids.ts";
import { type ProxyPlace, startProxyPlace } from "../testing/proxy-rig.ts";
import type { EnvironmentProxies } from "./environment-proxies.ts";

const ENV = EnvironmentId.parse(newTestId("environment"));
const HOST = HostId.parse(newTestId("host"));
const NAME = "www.example.com";
const LONG = { timeout: 30_000, interval: 50 };

let place: ProxyPlace;
let rig: Rig;
let authority: TestAuthority;
let tlsPort: number;
let pem: { readonly pem: string; readonly fingerprint: string; readonly key: string };
let proxies: EnvironmentProxies;
let told: Record<string, ProxyReport> = {};
let app: { readonly address: string; readonly port: number };
let heldDir: string;
let sleeps = false;

beforeAll(async () => {
  authority = await TestAuthority.create();
  const leaf = await authority.leaf({ names: [NAME] });
  const fingerprint = new X509Certificate(leaf.certificate).fingerprint.replaceAll(":", "");
  pem = { pem: `${leaf.certificate}\n${authority.intermediate}\n${leaf.key}`, fingerprint, key: leaf.key };
  place = await startProxyPlace(ENV, HOST);
  closers.push(() => place.close());
  app = await place.startApp(createServer((req, res) => res.end(JSON.stringify(req.headers))));
  heldDir = join(place.engine.folder, "held");
  mkdirSync(heldDir, { mode: 0o755 });
  const held = createServer((_, res) => res.writeHead(202).end());
  held.listen(join(heldDir, "activator.sock"));
  closers.push(() => void held.close());
  await vi.waitFor(() => chmodSync(join(heldDir, "activator.sock"), 0o666));
  tlsPort = await freePort();
  const dir = `/tmp/berth-envproxy-tls-${process.pid}`;
  closers.push(() => rmSync(dir, { recursive: true, force: true }));
  // The edge's host is another one: it has no certificate.
  rig = await startRig("haproxy", { tls: { port: tlsPort, dir, certificates: () => undefined } });
  await openProxies();
}, 120_000);

afterAll(closeAll, 60_000);

/** As an agent that starts again: the proxies that run are adopted. */
async function openProxies(more: { readonly seccomp?: string } = {}): Promise<void> {
  if (proxies !== undefined) await proxies.close();
  proxies = place.openProxies({
    ...more,
    tlsPort,
    heldDir: async () => heldDir,
    certificates: () => pem,
    served: (environmentId) => routes.noteProxy(environmentId),
    changed: () => {
      told = proxies.told() ?? told;
    },
    log: createLog("test", process.env.BERTH_TEST_LOG ?? "silent"),
  });
  const routes = new HostRoutes({
    ...{ edge: rig.edge, proxies },
    served: () => undefined,
  });
}

/** As the router makes it. */
function table(version: number): RouteTable {
  const [report] = Object.values(told);
  const proxied = report?.names.includes(NAME) === true;
  const named = report === undefined ? {} : { proxies: [{ hostId: HOST, ...report, names: undefined }] };
  const site = {
    ...{ hostname: NAME, serviceId: newTestId("service"), httpsOnly: true },
    backends: [{ jobId: jobId(1), ...app }],
    ...(sleeps ? { sleep: { epoch: 1 } } : {}),
    tls: { certificateId: newTestId("certificate"), name: NAME, proxied },
  };
  return { environmentId: ENV, version, sites: [site], ...named } as unknown as RouteTable;
}

let version = 0;
async function round(jobs: readonly string[] = [ENV]): Promise<void> {
  await rig.edge.apply([table(++version)]);
  await proxies.apply(rig.edge.tables());
  await proxies.round(new Set(jobs), rig.edge.tables());
}

function get(agent?: Agent): Promise<{ status: number; headers: Record<string, string> }> {
  return new Promise((resolve, reject) => {
    const options = {
      host: "127.0.0.1",
      port: tlsPort,
      servername: NAME,
      ca: authority.root,
      timeout: 10_000,
    };
    const asked = request({ ...options, headers: { host: NAME }, agent: agent ?? false }, (res) => {
      let body = "";
      res.on("data", (part: Buffer) => {
        body += part.toString();
      });
      res.on("end", () =>
        resolve({
          status: res.statusCode ?? 0,
          headers: res.statusCode === 200 ? JSON.parse(body) : {},
        }),
      );
    });
    asked.on("error", reject);
    asked.on("timeout", () => asked.destroy(new Error("no answer in 10 s")));
    asked.end();
  });
}

const untilServed = () => vi.waitFor(async () => expect((await get()).status).toBe(200), LONG);

const containers = async (...more: string[]) =>
  (await place.engine.docker("ps", "-q", "--no-trunc", ...more)).trim().split("\n").filter(Boolean);

test("TLS ends in the environment's container; the host in front has no key; what ends comes again", async () => {
  await round();
  await vi.waitFor(async () => {
    await proxies.round(new Set([ENV]), rig.edge.tables());
    expect(Object.keys(told)).toEqual([ENV]);
  }, LONG);
  await round();
  await untilServed();
  const { headers } = await get();
  expect(headers).toMatchObject({ "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "https" });
  expect(headers["x-forwarded-port"]).toBe(String(tlsPort));
  expect(proxies.gate(ENV, version)).toBe(version);
  await expectNoKeyInFront();
  await expectConfined();

  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  await get(agent);
  const [before] = await containers();
  await openProxies();
  await proxies.round(new Set([ENV]), rig.edge.tables());
  expect(await containers()).toEqual([before]);
  expect((await get(agent)).status).toBe(200);
  // One that is idle would be waited for.
  agent.destroy();

  await expectUpgrade();
  sleeps = true;
  await round();
  expect((await get()).status).toBe(202);
  sleeps = false;
  await round();

  const [now] = await containers();
  await place.engine.docker("kill", "-s", "KILL", now ?? "");
  await vi.waitFor(async () => {
    await proxies.verify();
    await proxies.round(new Set([ENV]), rig.edge.tables());
    expect(await containers()).toHaveLength(1);
    expect(await containers()).not.toEqual([now]);
  }, LONG);
  await untilServed();

  // Nobody's job is here any more, and no other host has one: it stays for a while.
  await round([]);
  expect((await get()).status).toBe(200);
}, 120_000);

/** Another form: a second proxy comes, edges go over to it, the first one goes; no request fails meanwhile. */
async function expectUpgrade(): Promise<void> {
  const [before] = await containers();
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  closers.push(() => agent.destroy());
  const statuses: number[] = [];
  let isOver = false;
  const load = [agent, undefined].map(async (one) => {
    while (!isOver) statuses.push((await get(one)).status);
  });
  await openProxies({ seccomp: `${await readSeccompProfile()} ` });
  await vi.waitFor(async () => {
    await round();
    const running = await containers();
    expect(running).toHaveLength(1);
    expect(running).not.toEqual([before]);
  }, LONG);
  isOver = true;
  await Promise.all(load);
  expect(statuses.length).toBeGreaterThan(50);
  expect(new Set(statuses)).toEqual(new Set([200]));
}

async function expectNoKeyInFront(): Promise<void> {
  const line = pem.key.split("\n")[1] ?? "";
  const texts = readdirSync(rig.dir, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile())
    .map((file) => readFileSync(join(file.parentPath, file.name), "utf8"));
  expect(texts.join("\n").includes(line)).toBe(false);
  const shown = await new RuntimeClient(join(rig.dir, "haproxy.sock")).ask("show ssl cert");
  expect(shown).not.toContain(".pem");
}

/** Another container of the environment cannot speak to the proxy, nor the proxy to anybody outside. */
async function expectConfined(): Promise<void> {
  const [report] = Object.values(told);
  const script = `const s=require("net").connect(${report?.port},"${report?.address}");s.setTimeout(700,()=>{console.log("silent");s.destroy()});s.on("connect",()=>{console.log("open");s.destroy()});s.on("error",()=>console.log("refused"))`;
  const from = `bta1-${process.pid}`;
  expect((await runCommand(["ip", "netns", "exec", from, process.execPath, "-e", script])).trim()).toBe(
    "silent",
  );
  const [id] = await containers();
  const inspected = JSON.parse(await place.engine.docker("inspect", id ?? "")) as {
    readonly State: { readonly Pid: number };
  }[];
  const status = readFileSync(`/proc/${inspected[0]?.State.Pid}/status`, "utf8");
  expect(/^CapEff:\s*0+$/m.test(status)).toBe(true);
  expect(/^Uid:\s*65532/m.test(status)).toBe(true);
}
