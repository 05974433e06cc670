/**
 * The api as a process, with a real PostgreSQL, a real nats-server and the real secrets service, asked by the real
 * CLI. Agents and logshippers are real clients of the bus that hold the JWTs which the api signed for them.
 */
import type { ChildProcess } from "node:child_process";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DeployProgressed } from "@berth/shared/contracts/deploy.ts";
import { GetHostPeers, HostPeersChanged } from "@berth/shared/contracts/host.ts";
import type { LogLine } from "@berth/shared/contracts/log.ts";
import { LogLines, TailLogs } from "@berth/shared/contracts/log.ts";
import { ReleaseCreated } from "@berth/shared/contracts/release.ts";
import type { EnvironmentId, HostId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { createCurve, createUser } from "@nats-io/nkeys";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "./testing/free-port.ts";
import type { LiveBus } from "./testing/live-bus.ts";
import { startLiveBus } from "./testing/live-bus.ts";
import type { PodFixture } from "./testing/pod-fixture.ts";
import { addOrg, startPodFixture } from "./testing/pod-fixture.ts";

const ROOT = join(import.meta.dirname, "../../..");
const COMMIT = "0123456789abcdef0123456789abcdef01234567";

let pod: PodFixture;
let live: LiveBus;
let admin: pg.Client;
let home: string;
let token: string;
let apiUrl: string;
const processes: ChildProcess[] = [];
const buses: Bus[] = [];

beforeAll(async () => {
  pod = await startPodFixture();
  live = await startLiveBus();
  home = mkdtempSync(join(tmpdir(), "berth-api-home-"));
  admin = new pg.Client({ connectionString: pod.adminUrl });
  admin.on("error", () => undefined);
  await admin.connect();
  token = (await addOrg(pod.db, "acme", { operator: true })).owner;
  const port = await freePort();
  apiUrl = `http://127.0.0.1:${port}`;
  await startService("api", {
    BERTH_LISTEN_PORT: String(port),
    BERTH_NATS_PUBLIC_URL: live.url,
    BERTH_NATS_ACCOUNT_SEED_FILE: live.pki.nats.accountSeedFile,
  });
  await startService("secrets", {
    BERTH_MASTER_KEY_FILE: live.pki.masterKeyFile,
    BERTH_REGISTRY_SIGNING_KEY_FILE: live.pki.registrySigner.keyFile,
    BERTH_REGISTRY_SIGNING_CERT_FILE: live.pki.registrySigner.certFile,
    BERTH_REGISTRY: "127.0.0.1:7425",
  });
  await until(
    "the api is ready",
    async () => (await fetch(`${apiUrl}/readyz`).catch(() => null))?.ok === true,
  );
}, 90_000);

afterAll(async () => {
  for (const bus of buses) await bus.close();
  for (const child of processes) {
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    await ended;
  }
  await admin?.end();
  await live?.close();
  await pod?.close();
  rmSync(home, { recursive: true, force: true });
}, 60_000);

async function startService(name: "api" | "secrets", env: Record<string, string>): Promise<void> {
  const common = {
    PATH: process.env.PATH ?? "",
    BERTH_STATE_DIR: home,
    BERTH_DATABASE_URL: pod.databaseUrls[name],
    BERTH_NATS_URL: live.url,
    BERTH_NATS_CREDS: await live.credsOf(name),
    BERTH_NATS_CA: live.pki.ca.certFile,
  };
  const child = spawn(process.execPath, [join(ROOT, `services/${name}/src/main.ts`)], {
    env: { ...common, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  processes.push(child);
  let output = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  await until(`${name} started`, async () => {
    if (child.exitCode !== null) throw new Error(`${name} ended: ${output}`);
    return output.includes("service.ready");
  });
}

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadlineMs = Date.now() + 20_000;
  while (!(await check())) {
    if (Date.now() > deadlineMs) throw new Error(`not within 20 s: ${what}`);
    await sleep(50);
  }
}

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function cliEnv(extra: Record<string, string> = {}): Record<string, string> {
  return {
    PATH: process.env.PATH ?? "",
    HOME: home,
    BERTH_API: apiUrl,
    BERTH_TOKEN: token,
    BERTH_ENV: "acme/production",
    ...extra,
  };
}

function berth(
  words: readonly string[],
  given: { env?: Record<string, string>; cwd?: string; stdin?: string } = {},
): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [join(ROOT, "packages/cli/src/main.ts"), ...words],
      { env: cliEnv(given.env), cwd: given.cwd ?? home, timeout: 30_000 },
      (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code ?? 99), out, err }),
    );
    child.stdin?.end(given.stdin ?? "");
  });
}

async function idsOf(service: string): Promise<{ serviceId: ServiceId; environmentId: EnvironmentId }> {
  const row = await pod.db
    .selectFrom("services")
    .select(["id", "environment_id"])
    .where("name", "=", service)
    .where("deleted_at", "is", null)
    .executeTakeFirstOrThrow();
  return { serviceId: row.id as ServiceId, environmentId: row.environment_id as EnvironmentId };
}

test("log in, make a service, add its remote: the token is in no file of the repository", async () => {
  const login = await berth(["login", "--api", apiUrl], { env: { BERTH_TOKEN: "" }, stdin: `${token}\n` });
  expect(login).toMatchObject({ code: 0, err: expect.stringContaining("owner@acme.test") });
  expect(statSync(join(home, ".config/berth/credentials.json")).mode & 0o777).toBe(0o600);
  expect((await berth(["services", "create", "shop"])).code).toBe(0);

  const repository = join(home, "repo");
  await run("git", ["init", "-q", "-b", "main", repository]);
  expect((await berth(["git-remote", "add", "shop"], { cwd: repository })).code).toBe(0);
  const config = readFileSync(join(repository, ".git/config"), "utf8");
  expect(config).toContain("/acme/production/shop.git");
  expect(config).not.toContain(token);
  const filled = await run(
    "git",
    ["-C", repository, "credential", "fill"],
    "protocol=http\nhost=127.0.0.1:7421\n\n",
  );
  expect(filled).toContain(`password=${token}`);
  // Inside the repository the service need not be named.
  expect(
    JSON.parse(
      (await berth(["services", "show", "--json"], { cwd: repository, env: { BERTH_ENV: "" } })).out,
    ),
  ).toMatchObject({ name: "shop" });
});

function run(file: string, args: readonly string[], stdin = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      file,
      [...args],
      { env: { ...cliEnv(), GIT_TERMINAL_PROMPT: "0" }, timeout: 20_000 },
      (error, out) => (error === null ? resolve(out) : reject(error)),
    );
    child.stdin?.end(stdin);
  });
}

test("exit codes and errors that say what to do next", async () => {
  expect(await berth(["services", "show", "nothing"])).toMatchObject({
    code: 4,
    err: expect.stringContaining("next:"),
  });
  expect((await berth(["whoami"], { env: { BERTH_TOKEN: `berth_${"0".repeat(40)}` } })).code).toBe(3);
  expect((await berth(["scale", "shop", "web=many"])).code).toBe(2);
  expect((await berth(["scale", "shop", "web=1", "--memory", "900TB"])).code).toBe(2);
  expect((await berth(["services", "create", "shop"])).code).toBe(1);
  expect(
    await berth(["whoami"], { env: { BERTH_API: `http://127.0.0.1:${await freePort()}` } }),
  ).toMatchObject({
    code: 1,
    err: expect.stringContaining("nothing listens there"),
  });
});

test("a build becomes a release within moments, and the fact is on the bus", async () => {
  const { serviceId, environmentId } = await idsOf("shop");
  const scheduler = await live.connectAs("scheduler");
  buses.push(scheduler);
  const created: string[] = [];
  scheduler.consume(ReleaseCreated, {}, async (fact) => void created.push(fact.deployId));
  const deployId = newId("deploy");
  const { org_id } = await pod.db
    .selectFrom("services")
    .select("org_id")
    .where("id", "=", serviceId)
    .executeTakeFirstOrThrow();
  await admin.query(
    "insert into git.pushes (deploy_id, org_id, environment_id, service_id, commit, ref, bundle_key, bundle_bytes) values ($1,$2,$3,$4,$5,'refs/heads/main','k',1)",
    [deployId, org_id, environmentId, serviceId, COMMIT],
  );
  await admin.query(
    `insert into builder.builds (id, deploy_id, org_id, environment_id, service_id, commit, bundle_key, pushed_at, state, started_at, finished_at, image_repository, image_digest, image_bytes, processes, profile, log)
     values ($1,$2,$3,$4,$5,$6,'k',now(),'succeeded',now(),now(),'o/s',$7,10,$8,$9,$10)`,
    [
      newId("build"),
      deployId,
      org_id,
      environmentId,
      serviceId,
      COMMIT,
      `sha256:${"ab".repeat(32)}`,
      { web: { command: "run" } },
      { port: 8080, rootFilesystem: "read-only", runsAsRoot: false },
      "first\nsecond\n",
    ],
  );
  await until("ReleaseCreated", async () => created.includes(deployId));

  // watch: what was stored, then what comes live, then the end that is stored.
  const watching = berth(["deploys", "watch", deployId, "--json"]);
  await sleep(1500);
  scheduler.signal(DeployProgressed, {
    deployId,
    kind: "step",
    lines: ["looking for hosts \u001b[2J"],
    atMs: Date.now(),
  });
  await admin.query(
    "insert into scheduler.deploys (id, service_id, release_id, state, finished_at, reason_code, reason) values ($1,$2,'rel','failed',now(),'never-listened','nothing on 8080')",
    [deployId, serviceId],
  );
  const watched = await watching;
  expect(watched.code).toBe(1);
  const events = watched.out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(events).toContainEqual({ type: "output", lines: ["first", "second"] });
  expect(events).toContainEqual({ type: "step", lines: ["looking for hosts \u001b[2J"] });
  expect(events.at(-1)).toMatchObject({
    type: "finished",
    deploy: { state: "failed", reasonCode: "never-listened" },
  });
});

test("variables go sealed to the secrets service and make a release; values come back nowhere", async () => {
  const canary = `canary-${newId("deploy")}`;
  const file = join(home, "vars.yaml");
  writeFileSync(file, `FROM_FILE: ${canary}\nN: 5\n`);
  const set = await berth(["vars", "set", "shop", "A=1", "-f", file, "--json"]);
  expect(set.err).toBe("");
  expect(JSON.parse(set.out)).toMatchObject({ version: 1, deployId: expect.stringMatching(/^dep_/) });
  const listed = await berth(["vars", "list", "shop", "--json"]);
  expect(JSON.parse(listed.out).variables.map((info: { name: string }) => info.name)).toEqual([
    "A",
    "FROM_FILE",
    "N",
  ]);
  expect(set.out + listed.out).not.toContain(canary);
  const stored = await admin.query(
    "select (select json_agg(a) from api.audit a)::text || (select json_agg(r) from api.releases r)::text || coalesce((select json_agg(o) from api.outbox o)::text, '') as all",
  );
  expect(stored.rows[0].all).toContain("FROM_FILE");
  expect(stored.rows[0].all).not.toContain(canary);
  expect(JSON.parse((await berth(["releases", "list", "shop", "--json"])).out).releases[0]).toMatchObject({
    configVersion: 1,
    current: true,
  });
  expect(await berth(["vars", "set", "shop", "PORT=1"])).toMatchObject({
    code: 2,
    err: expect.stringContaining("PORT"),
  });
  expect(JSON.parse((await berth(["vars", "unset", "shop", "N", "--json"])).out)).toMatchObject({
    version: 2,
  });
});

interface JoinedHost {
  readonly hostId: HostId;
  readonly agent: Bus;
  readonly logshipper: Bus;
}

async function joinHost(name: string): Promise<JoinedHost> {
  const joinToken = (await berth(["hosts", "token"])).out.trim();
  const keys = { agent: createUser(), logshipper: createUser() };
  const body = {
    token: joinToken,
    name,
    nodeAddress: "10.0.0.7",
    agentKey: keys.agent.getPublicKey(),
    logshipperKey: keys.logshipper.getPublicKey(),
    curveKey: createCurve().getPublicKey(),
  };
  const reply = await fetch(`${apiUrl}/v1/hosts/join`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const joined = (await reply.json()) as { hostId: HostId; agentJwt: string; logshipperJwt: string };
  const agent = await live.connectHost("agent", joined.hostId, joined.agentJwt, keys.agent);
  const logshipper = await live.connectHost(
    "logshipper",
    joined.hostId,
    joined.logshipperJwt,
    keys.logshipper,
  );
  buses.push(agent, logshipper);
  return { hostId: joined.hostId, agent, logshipper };
}

test("hosts join with credentials that work, know their peers, and their logs are followed without gap or repeat", async () => {
  const { serviceId, environmentId } = await idsOf("shop");
  const one = await joinHost("h-one");
  const told: number[] = [];
  one.agent.on(HostPeersChanged, {}, ({ peers }) => void told.push(peers.length));
  await sleep(200);
  const two = await joinHost("h-two");
  await joinHost("h-silent");
  await until("the neighbour is told", async () => told.includes(2));
  expect((await one.agent.request(GetHostPeers, { hostId: one.hostId })).peers).toHaveLength(3);

  const line = (atMs: number, text: string): LogLine => ({
    atMs,
    instance: "web.1",
    stream: "stdout",
    text,
    release: 1,
  });
  const startMs = Date.now();
  one.logshipper.serve(TailLogs, { hostId: one.hostId }, async () => ({
    hostId: one.hostId,
    lines: [line(startMs, "a1"), line(startMs + 2, "a2")],
    truncated: false,
  }));
  two.logshipper.serve(TailLogs, { hostId: two.hostId }, async () => ({
    hostId: two.hostId,
    lines: [line(startMs + 1, "b1 \u001b]52;c;eA==\u0007")],
    truncated: false,
  }));
  await sleep(200);

  const following = spawn(process.execPath, [join(ROOT, "packages/cli/src/main.ts"), "logs", "shop", "-f"], {
    env: cliEnv(),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let err = "";
  following.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  following.stderr.on("data", (chunk: Buffer) => {
    err += chunk.toString();
  });
  await until("the stored lines", async () => out.includes("a2"));
  const send = (host: JoinedHost, lines: LogLine[]) =>
    host.logshipper.signal(LogLines, {
      hostId: host.hostId,
      environmentId,
      serviceId,
      lines,
      droppedCount: 0,
    });
  send(one, [line(startMs + 2, "a2"), line(startMs + 3, "a3")]);
  send(two, [line(startMs + 4, "b2")]);
  await until("the live lines", async () => out.includes("a3") && out.includes("b2"));
  following.kill("SIGINT");
  await once(following, "exit");
  expect(
    out
      .trim()
      .split("\n")
      .map((text) => text.split("| ")[1]),
  ).toEqual(["a1", "b1 \\x1b]52;c;eA==\\x07", "a2", "a3", "b2"]);
  expect(err).toContain("h-silent did not answer");
});

test("a host's credentials ask for no other host", async () => {
  const [one, two] = [await joinHost("h-three"), await joinHost("h-four")];
  await expect(one.agent.request(GetHostPeers, { hostId: one.hostId })).resolves.toBeDefined();
  await expect(one.agent.request(GetHostPeers, { hostId: two.hostId }, { timeoutMs: 500 })).rejects.toThrow();
});

test("spans are stored and the trace of a change is shown", async () => {
  await until(
    "spans",
    async () => Number((await admin.query("select count(*)::int as n from api.spans")).rows[0].n) > 0,
  );
  const deployId = JSON.parse((await berth(["scale", "shop", "web=1", "--memory", "512MB", "--json"])).out)
    .deployId as string;
  await until("the change's own span", async () =>
    (await berth(["deploys", "show", deployId])).out.includes("PUT /v1/orgs"),
  );
});
