/** The api between real neighbours: PostgreSQL, nats-server, the secrets service, hosts' credentials, the CLI. */
import { once } from "node:events";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DeployProgressed } from "@berth/shared/contracts/deploy.ts";
import { GetHostPeers, HostPeersChanged } from "@berth/shared/contracts/host.ts";
import type { LogLine } from "@berth/shared/contracts/log.ts";
import { LogLines, TailLogs } from "@berth/shared/contracts/log.ts";
import { ReleaseCreated } from "@berth/shared/contracts/release.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { COMMIT, DIGEST } from "./testing/api-under-test.ts";
import type { JoinedHost } from "./testing/live-api.ts";
import { LiveApi, until } from "./testing/live-api.ts";

let api: LiveApi;

beforeAll(async () => {
  api = await LiveApi.start();
}, 120_000);

afterAll(() => api?.close(), 60_000);

test("log in, make a service, add its remote: the token is in no file of the repository", async () => {
  const login = await api.berth(["login", "--api", api.apiUrl], {
    env: { BERTH_TOKEN: "" },
    stdin: `${api.token}\n`,
  });
  expect(login).toMatchObject({ code: 0, err: expect.stringContaining("owner@acme.test") });
  expect(statSync(join(api.home, ".config/berth/credentials.json")).mode & 0o777).toBe(0o600);
  expect((await api.berth(["services", "create", "shop"])).code).toBe(0);

  const repository = join(api.home, "repo");
  await api.run("git", ["init", "-q", "-b", "main", repository]);
  expect((await api.berth(["git-remote", "add", "shop"], { cwd: repository })).code).toBe(0);
  const config = readFileSync(join(repository, ".git/config"), "utf8");
  expect(config).toContain("/acme/production/shop.git");
  expect(config).not.toContain(api.token);
  const filled = await api.run("git", ["-C", repository, "credential", "fill"], {
    stdin: "protocol=http\nhost=127.0.0.1:7421\n\n",
  });
  expect(filled.out).toContain(`password=${api.token}`);
  // Inside the repository the service need not be named.
  expect(
    JSON.parse(
      (await api.berth(["services", "show", "--json"], { cwd: repository, env: { BERTH_ENV: "" } })).out,
    ),
  ).toMatchObject({ name: "shop" });
});

test("exit codes and errors that say what to do next", async () => {
  expect(await api.berth(["services", "show", "nothing"])).toMatchObject({
    code: 4,
    err: expect.stringContaining("next:"),
  });
  expect((await api.berth(["whoami"], { env: { BERTH_TOKEN: `berth_${"0".repeat(40)}` } })).code).toBe(3);
  expect((await api.berth(["scale", "shop", "web=many"])).code).toBe(2);
  expect((await api.berth(["scale", "shop", "web=1", "--memory", "900TB"])).code).toBe(2);
  expect((await api.berth(["services", "create", "shop"])).code).toBe(1);
  expect(
    await api.berth(["whoami"], { env: { BERTH_API: `http://127.0.0.1:${await freePort()}` } }),
  ).toMatchObject({
    code: 1,
    err: expect.stringContaining("nothing listens there"),
  });
});

test("a build becomes a release within moments, and the fact is on the bus", async () => {
  const { orgId, serviceId, environmentId } = await api.idsOf("shop");
  const scheduler = await api.connectAs("scheduler");
  const created: string[] = [];
  scheduler.consume(ReleaseCreated, {}, async (fact) => void created.push(fact.deployId));
  const deployId = newId("deploy");
  await api.admin.query(
    "insert into git.pushes (deploy_id, org_id, environment_id, service_id, commit, ref, bundle_key, bundle_bytes) values ($1,$2,$3,$4,$5,'refs/heads/main','k',1)",
    [deployId, orgId, environmentId, serviceId, COMMIT],
  );
  await api.admin.query(
    `insert into builder.builds (id, deploy_id, org_id, environment_id, service_id, commit, bundle_key, pushed_at, state, started_at, finished_at, image_repository, image_digest, image_bytes, processes, profile, log)
     values ($1,$2,$3,$4,$5,$6,'k',now(),'succeeded',now(),now(),'o/s',$7,10,$8,$9,$10)`,
    [
      newId("build"),
      deployId,
      orgId,
      environmentId,
      serviceId,
      COMMIT,
      DIGEST,
      { web: { command: "run" } },
      { port: 8080, rootFilesystem: "read-only", runsAsRoot: false },
      "first\nsecond\n",
    ],
  );
  await until("ReleaseCreated", async () => created.includes(deployId));

  // watch: what was stored, then what comes live, then the end that is stored.
  const watching = api.spawnBerth(["deploys", "watch", deployId, "--json"]);
  const ended = once(watching.child, "close");
  // A live line is for whoever listens already: it is said until it is shown.
  await until("the live line", async () => {
    scheduler.signal(DeployProgressed, {
      deployId,
      kind: "step",
      lines: ["looking for hosts \u001b[2J"],
      atMs: Date.now(),
    });
    return watching.out().includes("looking for hosts");
  });
  await api.admin.query(
    "insert into scheduler.deploys (id, service_id, release_id, state, finished_at, reason_code, reason) values ($1,$2,'rel','failed',now(),'never-listened','nothing on 8080')",
    [deployId, serviceId],
  );
  const [code] = (await ended) as [number];
  expect(code).toBe(1);
  const events = watching
    .out()
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
  const file = join(api.home, "vars.yaml");
  writeFileSync(file, `FROM_FILE: ${canary}\nN: 5\n`);
  const set = await api.berth(["vars", "set", "shop", "A=1", "-f", file, "--json"]);
  expect(set.err).toBe("");
  expect(JSON.parse(set.out)).toMatchObject({ version: 1, deployId: expect.stringMatching(/^dep_/) });
  const listed = await api.berth(["vars", "list", "shop", "--json"]);
  expect(JSON.parse(listed.out).variables.map((info: { name: string }) => info.name)).toEqual([
    "A",
    "FROM_FILE",
    "N",
  ]);
  expect(set.out + listed.out).not.toContain(canary);
  const stored = await api.admin.query(
    "select (select json_agg(a) from api.audit a)::text || (select json_agg(r) from api.releases r)::text || coalesce((select json_agg(o) from api.outbox o)::text, '') as all",
  );
  expect(stored.rows[0].all).toContain("FROM_FILE");
  expect(stored.rows[0].all).not.toContain(canary);
  expect(JSON.parse((await api.berth(["releases", "list", "shop", "--json"])).out).releases[0]).toMatchObject(
    {
      configVersion: 1,
      current: true,
    },
  );
  expect(await api.berth(["vars", "set", "shop", "PORT=1"])).toMatchObject({
    code: 2,
    err: expect.stringContaining("PORT"),
  });
  expect(JSON.parse((await api.berth(["vars", "unset", "shop", "N", "--json"])).out)).toMatchObject({
    version: 2,
  });
});

test("a rollback brings back the variables of that release, as the newest version", async () => {
  const names = async () => {
    const listed = JSON.parse((await api.berth(["vars", "list", "shop", "--json"])).out) as {
      version: number;
      variables: { name: string; fingerprint: string }[];
    };
    return { version: listed.version, named: listed.variables.map((v) => `${v.name} ${v.fingerprint}`) };
  };
  const before = await names();
  const { releases } = JSON.parse((await api.berth(["releases", "list", "shop", "--json"])).out) as {
    releases: { version: number; configVersion: number }[];
  };
  const now = releases[0]?.version ?? 0;
  expect(releases[0]?.configVersion).toBe(before.version);
  await api.berth(["vars", "set", "shop", "A=2", "ADDED=1"]);
  expect((await names()).named).not.toEqual(before.named);
  const back = await api.berth(["rollback", "shop", `v${now}`, "--detach", "--json"]);
  expect(JSON.parse(back.out)).toMatchObject({ version: now + 2, to: now, from: now + 1 });
  expect(await names()).toEqual({ version: before.version + 2, named: before.named });
  const first = releases.at(-1)?.version ?? 0;
  expect(releases.at(-1)?.configVersion).toBe(0);
  await api.berth(["rollback", "shop", `v${first}`, "--detach"]);
  expect(await names()).toEqual({ version: before.version + 3, named: [] });
});

test("hosts join with credentials that work, know their peers, and their logs are followed without gap or repeat", async () => {
  const { serviceId, environmentId } = await api.idsOf("shop");
  const one = await api.joinHost("h-one");
  const told: number[] = [];
  one.agent.on(HostPeersChanged, {}, ({ peers }) => void told.push(peers.length));
  await sleep(200);
  const two = await api.joinHost("h-two");
  await api.joinHost("h-silent");
  // Joins that follow at once may be told together.
  await until("the neighbour is told", async () => told.some((count) => count >= 2));
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

  const following = api.spawnBerth(["logs", "shop", "-f"]);
  await until("the stored lines", async () => following.out().includes("a2"));
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
  await until("the live lines", async () => following.out().includes("a3") && following.out().includes("b2"));
  following.child.kill("SIGINT");
  await once(following.child, "exit");
  const texts = following
    .out()
    .trim()
    .split("\n")
    .map((text) => text.split("| ")[1]);
  expect(texts.slice(0, 3)).toEqual(["a1", "b1 \\x1b]52;c;eA==\\x07", "a2"]);
  // Live lines come as the hosts' connections bring them.
  expect(texts.slice(3).toSorted()).toEqual(["a3", "b2"]);
  expect(following.err()).toContain("h-silent did not answer");
});

test("a host's credentials ask for no other host", async () => {
  const [one, two] = [await api.joinHost("h-three"), await api.joinHost("h-four")];
  await expect(one.agent.request(GetHostPeers, { hostId: one.hostId })).resolves.toBeDefined();
  await expect(one.agent.request(GetHostPeers, { hostId: two.hostId }, { timeoutMs: 500 })).rejects.toThrow();
});

test("a removed host's connections are closed and it never comes in again; the others stay", async () => {
  const [gone, kept] = [await api.joinHost("h-gone"), await api.joinHost("h-kept")];
  await expect(gone.agent.request(GetHostPeers, { hostId: gone.hostId })).resolves.toBeDefined();
  expect(await api.berth(["hosts", "remove", "h-gone"])).toMatchObject({ code: 0 });
  await until("both connections are closed", async () => !gone.agent.connected && !gone.logshipper.connected);
  // Both go on trying to come back.
  await until("a later try is refused", async () =>
    (await gone.closedReasons()).includes("Authentication Failure"),
  );
  expect([gone.agent.connected, gone.logshipper.connected]).toEqual([false, false]);
  await expect(kept.agent.request(GetHostPeers, { hostId: kept.hostId })).resolves.toBeDefined();
});

const CTRL_C = "\u0003";

test("on a terminal hosts top draws itself anew until Ctrl-C", async () => {
  const top = api.onTerminal(["hosts", "top"]);
  const home = "\u001b[H";
  await until("two pictures", async () => top.shown().split(home).length > 2);
  expect(top.shown().split(home)[1]).toContain("h-four");
  const ended = once(top.child, "exit");
  top.press(CTRL_C);
  expect(await ended).toEqual([0, null]);
});

test("Ctrl-C ends the watching of a drain, not the drain", async () => {
  const { orgId, serviceId, environmentId } = await api.idsOf("shop");
  const hosts = JSON.parse((await api.berth(["hosts", "list", "--json"])).out).hosts as {
    id: string;
    name: string;
  }[];
  const hostId = hosts.find(({ name }) => name === "h-four")?.id;
  await api.admin.query(
    "insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, state, host_id) values ($1,$2,$3,$4,$5,$6,'web',1,'{}','running',$7)",
    [newId("job"), orgId, environmentId, serviceId, newId("release"), newId("deploy"), hostId],
  );
  const drain = api.onTerminal(["hosts", "drain", "h-four"]);
  await until("it watches", async () => drain.shown().includes("1 to move"));
  const ended = once(drain.child, "exit");
  drain.press(CTRL_C);
  expect(await ended).toEqual([130, null]);
  expect(drain.shown()).toContain("the drain goes on");
  expect((await api.berth(["hosts", "show", "h-four"])).out).toContain("draining");
});

test("spans are stored and the trace of a change is shown", async () => {
  await until(
    "spans",
    async () => Number((await api.admin.query("select count(*)::int as n from api.spans")).rows[0].n) > 0,
  );
  const deployId = JSON.parse(
    (await api.berth(["scale", "shop", "web=1", "--memory", "512MB", "--json"])).out,
  ).deployId as string;
  await until("the change's own span", async () =>
    (await api.berth(["deploys", "show", deployId])).out.includes("PUT /v1/orgs"),
  );
});
