/**
 * The stage of the browser case: a custom domain with a certificate that Pebble signed, visited by Chromium, which trusts
 * Pebble's root and nothing else of ours, and by h2load. Its lab is that of the HTTPS tests.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensurePackages } from "@berth/infra/install/debian-packages.ts";
import type { Domain } from "@berth/shared/contracts/http/domains.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { TestAuthority } from "@berth/shared/testing/certificates.ts";
import { until } from "../../services/api/src/testing/live-api.ts";
import type { Finding } from "../hosts/case.ts";
import { setup } from "../real-setup.ts";
import { type BrowserApp, browserApp, STREAMED_BYTES } from "./browser-app.ts";
import type { HttpsRig } from "./https-rig.ts";
import { startPebbleRig } from "./pebble-rig.ts";

export const browserCases = [
  { name: "browser", title: "a real browser and h2load on a custom domain with HTTPS" },
] as const;

const SITE = "www.example.com";
const OTHER = "api.example.com";
const OLD = "old.example.com";
const REPORT_MS = 60_000;
/** Enough for the change of options in its middle. */
const LOAD = { requests: 20_000, clients: 20, streams: 10 };

export interface BrowserStage {
  play(): Promise<Finding[]>;
  close(): Promise<void>;
}

export async function startBrowserStage(say: (line: string) => void): Promise<BrowserStage> {
  await ensurePackages(["chromium-headless-shell", "libnss3-tools", "nghttp2-client"], say);
  const prepared = spawnSync(process.execPath, [join(import.meta.dirname, "../prepare.ts")], {
    stdio: ["ignore", 2, 2],
  });
  if (prepared.status !== 0) throw new Error("what the tests need could not be installed: see above");
  const endDatabase = await setup();
  const files = mkdtempSync("/tmp/berth-browser-");
  const authority = await TestAuthority.create();
  let port = 0;
  const app = browserApp(() => `https://${OTHER}:${port}`);
  const { rig, pebble } = await startPebbleRig({ files, authority, app: app.server });
  port = rig.httpsPort;
  return {
    play: async () => {
      await Promise.all([SITE, OTHER, OLD].map((name) => bringDomain(rig, name)));
      await setOptions(rig, files, "1m");
      const root = await rig.api.run("curl", ["-sS", "--cacert", join(files, "root.crt"), pebble.rootUrl]);
      writeFileSync(join(files, "pebble-root.crt"), root.out);
      return [...(await visit(rig, files, app)), ...(await load(rig, files))];
    },
    close: async () => {
      await rig.close();
      await pebble.close();
      await endDatabase?.();
      rmSync(files, { recursive: true, force: true });
    },
  };
}

async function bringDomain({ api }: HttpsRig, name: string): Promise<void> {
  api.pod.dns.a.set(name, "127.0.0.1");
  const run = async (...words: string[]): Promise<Domain> => {
    const { code, out, err } = await api.berth([...words, "--json"]);
    if (code !== 0) throw new Error(`berth ${words.join(" ")}: ${err}`);
    return JSON.parse(out) as Domain;
  };
  const { record } = await run("domains", "add", "shop", name);
  api.pod.dns.txt.set(record.name, [record.value]);
  await run("domains", "verify", "shop", name);
  await until(`${name} has a certificate`, async () => {
    return (await run("domains", "show", "shop", name)).certificate !== null;
  });
}

/** By the same file that a repository has; done when the edge serves it. */
async function setOptions({ api, httpsPort }: HttpsRig, files: string, maxAge: string): Promise<void> {
  const file = join(files, "berth.yaml");
  const http = {
    cors: {
      origins: [`https://${SITE}:${httpsPort}`],
      methods: ["PUT"],
      headers: ["X-Token"],
      "max-age": maxAge,
    },
    redirects: [{ from: OLD, to: `https://${SITE}:${httpsPort}` }],
  };
  writeFileSync(file, JSON.stringify({ http }));
  const { code, err } = await api.berth(["services", "http", "shop", "--file", file]);
  if (code !== 0) throw new Error(`berth services http: ${err}`);
}

const finding = (
  what: string,
  promise: string,
  measured: string | number | boolean,
  kept: boolean,
): Finding => ({
  ...{ what, promise, measured: String(measured), kept },
  kind: "level",
});

/** Begins at the old name, so that the browser follows the redirect too. */
async function visit(rig: HttpsRig, files: string, app: BrowserApp): Promise<Finding[]> {
  const database = join(files, ".pki/nssdb");
  mkdirSync(database, { recursive: true });
  const trust = ["-d", `sql:${database}`];
  for (const words of [
    ["-N", "--empty-password"],
    ["-A", "-t", "C,,", "-n", "pebble", "-i", join(files, "pebble-root.crt")],
  ]) {
    const { code, err } = await rig.api.run("certutil", [...trust, ...words]);
    if (code !== 0) throw new Error(`certutil: ${err}`);
  }
  let said = "";
  const browser = spawn(
    "chromium-headless-shell",
    [
      ...["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0"],
      ...[`--user-data-dir=${join(files, "profile")}`, "--host-resolver-rules=MAP *.example.com 127.0.0.1"],
      `https://${OLD}:${rig.httpsPort}/`,
    ],
    {
      env: { PATH: process.env.PATH ?? "", HOME: files },
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
    },
  );
  browser.stderr.on("data", (data: Buffer) => {
    said = `${said}${data.toString()}`.slice(-4000);
  });
  const ended = once(browser, "exit");
  const seen = await Promise.race([app.report, ended.then(() => null), sleep(REPORT_MS).then(() => null)]);
  // What is started is a script that starts the browser: the whole group ends.
  if (browser.pid !== undefined) process.kill(-browser.pid, "SIGKILL");
  await ended;
  if (seen === null)
    return [finding("page", "reports what it saw", `nothing; the browser said: ${said}`, false)];
  const wanted = [
    ["page", "HTTP/2", seen.pageProtocol, "h2"],
    ["page", "is a secure context", seen.secure, true],
    ["fetch", "HTTP/2", seen.fetchProtocol, "h2"],
    ["app", "is told of HTTPS", seen.forwardedProto, "https"],
    ["WebSocket", "echoes", seen.echo, "echo: hello"],
    ["stream", "comes whole", seen.streamed, STREAMED_BYTES],
    ["other origin, declared", "PUT answered", seen.crossOrigin, "PUT"],
    ["other origin, undeclared", "DELETE refused", seen.undeclared, "refused: TypeError"],
  ] as const;
  return wanted.map(([what, promise, measured, wish]) => finding(what, promise, measured, measured === wish));
}

/** Options change twice in its middle: nothing is lost for it. */
async function load(rig: HttpsRig, files: string): Promise<Finding[]> {
  const { requests, clients, streams } = LOAD;
  const running = rig.api.run("h2load", [
    ...["-n", String(requests), "-c", String(clients), "-m", String(streams)],
    ...[`--connect-to=127.0.0.1:${rig.httpsPort}`, `https://${SITE}:${rig.httpsPort}/`],
  ]);
  for (const maxAge of ["2m", "3m"]) await setOptions(rig, files, maxAge);
  const { out, err } = await running;
  const line = /requests: .*|status codes: .*|Application protocol: .*/g;
  const told = [...out.matchAll(line)].map(([one]) => one);
  const good = out.includes(`${requests} succeeded, 0 failed, 0 errored, 0 timeout`);
  const status = out.includes(`status codes: ${requests} 2xx`) && out.includes("Application protocol: h2");
  return [
    finding(
      "h2load",
      `${requests} of ${requests}, all 2xx`,
      told.join("; ") || err.slice(0, 500),
      good && status,
    ),
  ];
}
