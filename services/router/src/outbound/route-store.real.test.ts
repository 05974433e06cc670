/**
 * The router's statements on a real PostgreSQL: `BERTH_TEST_POSTGRES_URL` names one whose user may create
 * databases. The tables are those of the migrations of api, scheduler and router; every run has its own database.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { DeployId, EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";
import { ChangedEnvironments } from "@berth/shared/kit/changed-environments.ts";
import { connectDatabase, type Database } from "@berth/shared/kit/database.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { adminUrl, TestDatabase } from "@berth/shared/testing/test-database.ts";
import { sql } from "kysely";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { askEdge } from "./edge-probe.ts";
import { readAwaited, storeFirstResponse } from "./first-response-store.ts";
import { storeProxies } from "./proxy-store.ts";
import { readChanges } from "./read-changes.ts";
import { readRecord, readTables } from "./read-record.ts";
import { acknowledgeTables, readLagging, storeAck, storeTables } from "./route-store.ts";
import type { RouterTables } from "./tables.ts";

const domain = "berth.localhost";

describe.skipIf(adminUrl === undefined)("route store", () => {
  let tables: TestDatabase;
  let database: Database<RouterTables>;
  let client: pg.Client;
  const world = { env: "" as EnvironmentId, service: "", host: "" as HostId, other: "" as HostId };

  beforeAll(async () => {
    tables = await TestDatabase.start(`router_test_${process.pid}`, [
      "api",
      "scheduler",
      "network",
      "router",
    ]);
    database = connectDatabase<RouterTables>({ url: tables.url, schema: "router", log: silentLog });
    client = new pg.Client({ connectionString: tables.url });
    await client.connect();
  });

  afterAll(async () => {
    await client.end();
    await database.close();
    await tables.close();
  });

  beforeEach(async () => {
    await client.query(
      "truncate router.route_tables, router.route_acks, router.first_responses, router.outbox, router.environment_proxies, network.environments cascade",
    );
    await client.query(
      "truncate api.orgs, scheduler.jobs, scheduler.hosts_seen, scheduler.deploys cascade; delete from api.hosts",
    );
    const org = newId("org");
    Object.assign(world, {
      env: newId("environment"),
      service: newId("service"),
      host: newId("host"),
      other: newId("host"),
    });
    await client.query("insert into api.orgs (id, name) values ($1, 'acme')", [org]);
    await client.query("insert into api.environments (id, org_id, name) values ($1, $2, 'production')", [
      world.env,
      org,
    ]);
    const service =
      "insert into api.services (id, org_id, environment_id, name, hostname_label) values ($1, $2, $3, 'shop', 'shop-production')";
    await client.query(service, [world.service, org, world.env]);
    const host =
      "insert into api.hosts (id, name, node_address, subnet, agent_key, logshipper_key, curve_key) values ($1, $2, '127.0.0.1', $3, 'a', 'b', 'c')";
    await client.query(host, [world.host, "one", "10.210.1.0/24"]);
    await client.query(host, [world.other, "two", "10.210.2.0/24"]);
    const seen = "insert into scheduler.hosts_seen values ($1, 'alive', now(), 'boot', '{}')";
    for (const id of [world.host, world.other]) await client.query(seen, [id]);
  });

  async function addJob(
    more: { rotation?: string; ready?: boolean; process?: string } = {},
  ): Promise<{ job: string; deploy: DeployId }> {
    const [job, deploy, release] = [newId("job"), newId("deploy"), newId("release")];
    await client.query(
      "insert into scheduler.deploys (id, service_id, release_id, state) values ($1, $2, $3, 'routing')",
      [deploy, world.service, release],
    );
    await client.query(
      `insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, state, rotation, ready, host_id, address, port)
       values ($1, 'o', $2, $3, $4, $5, $6, 1, '{}', 'running', $7, $8, $9, '10.210.1.2', 8080)`,
      [
        job,
        world.env,
        world.service,
        release,
        deploy,
        more.process ?? "web",
        more.rotation ?? "in",
        more.ready ?? true,
        world.host,
      ],
    );
    return { job, deploy };
  }

  test("a host's proxy counts where the host is in the environment's network, at an address of its own part, while it is live", async () => {
    const { db } = database;
    const read = async () => (await readRecord(db, [world.env])).proxies;
    const report = { address: "10.128.1.254", port: 8443, names: ["www.x"] };
    expect(await storeProxies(db, world.host, { [world.env]: report })).toEqual([world.env]);
    expect(await storeProxies(db, world.host, { [world.env]: report })).toEqual([]);
    expect(await read()).toEqual([]);
    await client.query(
      "insert into network.environments (environment_id, subnet) values ($1,'10.128.0.0/19')",
      [world.env],
    );
    const member =
      "insert into network.members (environment_id, host_id, slice, port, public_key) values ($1,$2,$3,$4,'k')";
    await client.query(member, [world.env, world.host, "10.128.1.0/24", 21_000]);
    await client.query(member, [world.env, world.other, "10.128.2.0/24", 21_000]);
    const row = { environmentId: world.env, hostId: world.host, ...report };
    expect(await read()).toEqual([row]);
    await storeProxies(db, world.other, { [world.env]: report });
    expect(await read()).toEqual([row]);
    await client.query("update scheduler.hosts_seen set state = 'lost' where host_id = $1", [world.host]);
    expect(await read()).toEqual([]);
    expect(await storeProxies(db, world.host, {})).toEqual([world.env]);
  });

  test("a version per change, also with two routers at once; only ready web jobs in rotation are backends", async () => {
    const { db } = database;
    const store = async () => (await storeTables(db, domain)).now;
    expect(await store()).toMatchObject([
      { version: 1, sites: [{ hostname: "shop-production.berth.localhost", backends: [] }] },
    ]);
    await addJob({ rotation: "draining" });
    await addJob({ ready: false });
    await addJob({ process: "worker" });
    expect(await store()).toEqual([]);
    const { job } = await addJob();
    const both = await Promise.all([store(), store()]);
    expect(both.flat()).toMatchObject([{ version: 2, sites: [{ backends: [{ jobId: job }] }] }]);
    await client.query("update api.services set deleted_at = now()");
    expect(await store()).toMatchObject([{ version: 3, sites: [] }]);
    expect(await readTables(db, [world.env])).toEqual([{ environmentId: world.env, version: 3, sites: [] }]);
  });

  test("more backends are told once the table is old enough for that; one that goes is told at once", async () => {
    const { db } = database;
    for (let i = 0; i < 3; i++) await addJob();
    await storeTables(db, domain);
    const { job } = await addJob();
    // Taken for milliseconds, these seconds would be too few for three backends.
    await client.query("update router.route_tables set changed_at = now() - interval '1 minute'");
    expect(await storeTables(db, domain)).toMatchObject({ now: [{ version: 2 }], againInMs: null });
    await client.query("update scheduler.jobs set ready = false where id = $1", [job]);
    expect(await storeTables(db, domain)).toMatchObject({ now: [{ version: 3 }], againInMs: null });
  });

  test("only environments whose jobs or sleeps changed are made anew; after an act all are, and after a while", async () => {
    const { db } = database;
    let wholeEveryMs = 3_600_000;
    const changes = new ChangedEnvironments({
      read: (since) => readChanges(db, since),
      get wholeEveryMs() {
        return wholeEveryMs;
      },
    });
    await client.query("update scheduler.jobs set updated_at = now() - interval '1 hour'");
    expect(await changes.next()).toBeNull();
    expect(await changes.next()).toEqual([]);
    expect(await storeTables(db, domain, [])).toMatchObject({ now: [], againInMs: null });
    await addJob();
    expect(await changes.next()).toEqual([world.env]);
    expect((await storeTables(db, domain, [newId("environment")])).now).toEqual([]);
    expect((await storeTables(db, domain, [world.env])).now).toMatchObject([{ environmentId: world.env }]);
    await client.query("update scheduler.jobs set updated_at = now() - interval '1 hour'");
    expect(await changes.next()).toEqual([]);
    changes.note([world.env]);
    expect(await changes.next()).toEqual([world.env]);
    changes.note([]);
    await client.query(
      "insert into scheduler.sleeps (service_id, epoch, state, state_since) values ($1, 1, 'falling', clock_timestamp())",
      [world.service],
    );
    expect(await changes.next()).toEqual([world.env]);
    const act = "insert into api.audit (actor, action, target) values ('a', $1, 's')";
    await client.query(act, ["service.scaled"]);
    expect(await changes.next()).toEqual([world.env]);
    await client.query(act, ["service.sleep-ordered"]);
    expect(await changes.next()).toBeNull();
    changes.all();
    expect(await changes.next()).toBeNull();
    wholeEveryMs = 0;
    expect(await changes.next()).toBeNull();
  });

  test("routers that make a table at once give each version once, and lose nothing", async () => {
    const { db } = database;
    await storeTables(db, domain);
    for (let round = 0; round < 5; round += 1) {
      await client.query("update router.route_tables set changed_at = now() - interval '1 minute'");
      const { job } = await addJob();
      const stored = await Promise.all(Array.from({ length: 6 }, () => storeTables(db, domain, [world.env])));
      const [table, ...others] = stored.flatMap(({ now }) => now);
      expect(others).toEqual([]);
      expect(table?.sites[0]?.backends.map(({ jobId }) => jobId)).toContain(job);
      expect(await readTables(db, [world.env])).toEqual([table]);
    }
  });

  test("acknowledged when every host that is not lost said so, and never by a late word", async () => {
    const { db } = database;
    await storeTables(db, domain);
    await addJob();
    await storeTables(db, domain);
    const ack = (hostId: HostId, version: number, atMs: number) =>
      storeAck(db, { hostId, environmentId: world.env, version, atMs });
    expect(await acknowledgeTables(db)).toEqual([]);
    expect(await ack(world.host, 2, 20)).toBe(true);
    expect(await ack(world.host, 1, 10)).toBe(false);
    expect(await ack(world.host, 2, 30)).toBe(false);
    await ack(world.other, 1, 20);
    expect(await acknowledgeTables(db)).toEqual([]);
    expect(await readLagging(db, 0)).toMatchObject([{ version: 2 }]);
    await client.query("update scheduler.hosts_seen set state = 'lost' where host_id = $1", [world.other]);
    expect(await acknowledgeTables(db)).toEqual([{ environmentId: world.env, version: 2 }]);
    expect(await acknowledgeTables(db)).toEqual([]);
    expect(await readLagging(db, 0)).toEqual([]);
    const { rows } = await client.query("select event from router.outbox");
    expect(rows).toEqual([{ event: "RouteAcknowledged" }]);
  });

  test("no live host acknowledges nothing", async () => {
    await storeTables(database.db, domain);
    await client.query("update scheduler.hosts_seen set state = 'lost'");
    expect(await acknowledgeTables(database.db)).toEqual([]);
  });

  test("a frequent statement is prepared; when its table changes its shape, one answer fails and the next is right", async () => {
    const one = connectDatabase({ url: tables.url, schema: "router", log: silentLog, poolSize: 1 });
    try {
      await client.query("create table router.shaped (a int); insert into router.shaped values (7)");
      const ask = async () => (await sql`select * from shaped where a = ${7}`.execute(one.db)).rows;
      const prepared = async () =>
        (
          await sql`select 1 from pg_prepared_statements where statement like '%shaped where%'`.execute(
            one.db,
          )
        ).rows;
      await ask();
      await ask();
      expect(await prepared()).toHaveLength(0);
      expect(await ask()).toEqual([{ a: 7 }]);
      expect(await prepared()).toHaveLength(1);
      await client.query("alter table router.shaped add column b int default 8");
      await expect(ask()).rejects.toThrow(/cached plan/);
      expect(await ask()).toEqual([{ a: 7, b: 8 }]);
    } finally {
      await one.close();
      await client.query("drop table router.shaped");
    }
  });

  test("the first answer is asked for once the table is acknowledged, and stored once", async () => {
    const { db } = database;
    const { deploy } = await addJob();
    await storeTables(db, domain);
    expect(await readAwaited(db)).toEqual([]);
    for (const hostId of [world.host, world.other])
      await storeAck(db, { hostId, environmentId: world.env, version: 1, atMs: 1 });
    await acknowledgeTables(db);
    const [awaited] = await readAwaited(db);
    expect(awaited).toMatchObject({
      deployId: deploy,
      hostnameLabel: "shop-production",
      nodeAddress: "127.0.0.1",
      hostId: world.host,
    });
    if (awaited === undefined) return;
    const answer = { status: 200, startedAtMs: 1, endedAtMs: 2 };
    expect(await storeFirstResponse(db, awaited, "shop-production.berth.localhost", answer)).toBe(true);
    expect(await storeFirstResponse(db, awaited, "shop-production.berth.localhost", answer)).toBe(false);
    expect(await readAwaited(db)).toEqual([]);
    // The next deploy's instance is in no table yet: what answers is the former one's.
    await addJob();
    expect(await readAwaited(db)).toEqual([]);
    const { rows } = await client.query("select event from router.outbox where event = 'FirstResponse'");
    expect(rows).toHaveLength(1);
  });
});

test("askEdge gives the status, or 0 for silence and for a closed port", async () => {
  const server = createServer((req, res) => {
    if (req.headers.host?.startsWith("silent")) return;
    res.statusCode = req.headers.traceparent === "tp" ? 204 : 500;
    res.end();
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const target = { address: "127.0.0.1", port, hostname: "a.localhost", timeoutMs: 1000, traceparent: "tp" };
  expect(await askEdge(target)).toBe(204);
  expect(await askEdge({ ...target, hostname: "silent.localhost", timeoutMs: 100 })).toBe(0);
  server.closeAllConnections();
  server.close();
  expect(await askEdge({ ...target, port: 1 })).toBe(0);
});
