/**
 * The scheduler's statements on a real PostgreSQL: the lease and its fence, the hosts' judgement, a host's whole list.
 * `BERTH_TEST_POSTGRES_URL` names one whose user may create databases.
 */
import type { DeployId, HostId, JobId, ReleaseId, ServiceId } from "@berth/shared/domain/ids.ts";
import { DEFAULT_RESOURCES } from "@berth/shared/domain/resources.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { sql } from "kysely";
import type pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { adminUrl, TestRecord } from "../testing/test-record.ts";
import { storeAnswers, storeDecisions } from "./auction-record.ts";
import { auctionPages, MOST_LOTS } from "./auction-view.ts";
import { recordEvent, trimEvents } from "./events.ts";
import { storeBeats, touchHosts } from "./heartbeat-book.ts";
import { HostRegistry } from "./host-registry.ts";
import { contendForLeadership, StaleLeader } from "./leader.ts";
import { createObservations } from "./observations.ts";
import { readReleaseImages } from "./release-images.ts";
import { applySteps } from "./steps.ts";

describe.skipIf(adminUrl === undefined)("the scheduler's record", () => {
  let record: TestRecord;
  let database: TestRecord["database"];
  const hostId = newId("host") as HostId;

  beforeAll(async () => {
    record = await TestRecord.start(`scheduler_test_${process.pid}`);
    database = record.database;
  });
  afterAll(() => record?.close());
  beforeEach(() => record.empty());

  const elected = async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const lead = contendForLeadership({ db: database.db, leaseMs: 4000, log: silentLog, onElected: resolve });
    await promise;
    return lead;
  };
  const addJob = (state: string, seconds: number) => record.addJob(hostId, state, seconds);
  const stateOf = async (id: string) =>
    (await database.db.selectFrom("jobs").select("state").where("id", "=", id).executeTakeFirst())?.state;

  test("a lease passes with a higher epoch, and the deposed leader's transaction is rejected", async () => {
    const first = await elected();
    expect(first.epoch).toBe(1);
    await database.db.transaction().execute((trx) => first.fence(trx));
    expect((await first.held.execute(database.db)).rows).toHaveLength(1);
    await database.db
      .updateTable("leader")
      .set({ expires_at: new Date(0) })
      .execute();
    const second = await elected();
    expect(second.epoch).toBe(2);
    await expect(database.db.transaction().execute((trx) => first.fence(trx))).rejects.toThrow(StaleLeader);
    expect((await first.held.execute(database.db)).rows).toEqual([]);
    await Promise.all([first.close(), second.close()]);
  });

  test("a deploy begins with its plan, and its job has what release, sizes and policy say", async () => {
    const ids = { org: newId("org"), env: newId("environment"), svc: newId("service") as ServiceId };
    const [releaseId, deployId] = [newId("release") as ReleaseId, newId("deploy") as DeployId];
    const web = { process: "web", scale: 2, memoryBytes: 64 * 1024 ** 2, cpuMillis: 250, healthPath: "/up" };
    const settings = [
      { ...web, startDeadlineMs: 9000, stopGraceMs: 1000 },
      { ...web, process: "old" },
    ];
    const { env } = ids;
    await record.asAdmin(async (client) => {
      const run = (text: string, ...values: unknown[]) => client.query(text, values);
      await run("insert into api.orgs (id, name) values ($1, 'acme')", ids.org);
      await run("insert into api.environments (id, org_id, name) values ($1, $2, 'prod')", env, ids.org);
      await run(
        "insert into api.services (id, org_id, environment_id, name, hostname_label, policy) values ($1, $2, $3, 'shop', 'shop-prod', $4)",
        ...[ids.svc, ids.org, env, { apart: true, labels: { disk: "ssd" } }],
      );
      await run(
        `insert into api.releases (id, service_id, version, deploy_id, commit, image_repository, image_digest, image_bytes, processes,
           profile, config_version, process_settings, description, cause, env)
         values ($1, $2, 1, $3, $4, 'o/s', $5, 10, $6, $7, 0, $8, 'push', 'push', '{"COLOUR": "blue"}')`,
        ...[releaseId, ids.svc, deployId, "a".repeat(40), `sha256:${"b".repeat(64)}`],
        ...[{ web: { command: "run" }, old: { command: "old" } }],
        ...[{ port: 8080, rootFilesystem: "read-only", runsAsRoot: false }, JSON.stringify(settings)],
      );
      await run(
        "insert into api.processes (service_id, process, scale, memory_bytes, cpu_millis) values ($1, 'web', 2, 1, 1)",
        ids.svc,
      );
    });
    const release = {
      id: releaseId,
      version: 1,
      deployId,
      processes: new Set(["web", "old"]),
      rollouts: new Map(),
    };
    const leadership = await elected();
    const given = { db: database.db, leadership, readinessDeadlineMs: 60_000 };
    const told = await applySteps(given, ids.svc, [
      { kind: "create-deploy", release },
      { kind: "create-job", release, process: "web", slot: 1, alone: false },
      { kind: "create-job", release, process: "old", slot: 1, alone: false },
    ]);
    await leadership.close();
    expect(told.map(({ line }) => line)[0]).toBe("Plan: v1 is the first release: web=2");
    const jobs = await database.db
      .selectFrom("jobs")
      .select(["process", "spec"])
      .orderBy("process")
      .execute();
    expect(jobs.map(({ spec }) => spec)).toMatchObject([
      { process: "old", readiness: { deadlineMs: 60_000 }, stopGraceMs: 10_000 },
      {
        ...{ process: "web", command: "run", env: { COLOUR: "blue" }, stopGraceMs: 1000 },
        resources: { memoryBytes: 64 * 1024 ** 2, cpuMillis: 250 },
        readiness: { httpPath: "/up", deadlineMs: 9000 },
        constraints: { apart: true, labels: { disk: "ssd" } },
      },
    ]);
  });

  test("awards are stored for jobs that wait and hosts that take work; answers are, whatever came first", async () => {
    const away = newId("host") as HostId;
    await record.asAdmin(async (client) => {
      for (const [i, id] of [hostId, away].entries())
        await client.query(
          `insert into api.hosts (id, name, node_address, subnet, zone, agent_key, logshipper_key, curve_key, cordoned)
           values ($1, $1, '127.0.0.1', $2, 'z', $1, $1, $1, $3)`,
          [id, `10.98.${i}.0/24`, id === away],
        );
    });
    const jobs = { waits: await addJob("requested", 1), cordoned: await addJob("requested", 1) };
    const others = { runs: await addJob("running", 1), later: await addJob("requested", 1) };
    const decide = (jobId: JobId, at: HostId, epoch = 1) => ({
      ...{ decisionId: newId("decision"), serviceId: jobId as never, epoch },
      placement: { outcome: "placed" as const, jobId, hostId: at, bidders: 1, candidates: [] },
    });
    const decided = [decide(jobs.waits, hostId), decide(jobs.cordoned, away), decide(others.runs, hostId)];
    const leaseUntil = new Date(Date.now() + 10_000);
    const stale = storeDecisions(database.db, sql`select 1 where false`, decided, leaseUntil);
    await expect(stale).rejects.toThrow(StaleLeader);
    expect(await stateOf(jobs.waits)).toBe("requested");
    const all = [...decided, decide(others.later, hostId, 7)];
    const taken = await storeDecisions(database.db, sql`select 1`, all, leaseUntil);
    expect([...taken]).toEqual([jobs.waits]);
    expect(await stateOf(jobs.waits)).toBe("awarded");
    expect(await stateOf(jobs.cordoned)).toBe("requested");
    const told = await database.db.selectFrom("decisions").select(["job_id", "epoch", "answer"]).execute();
    expect(told).toEqual([{ job_id: jobs.waits, epoch: 2, answer: "none" }]);

    const answer = (said: "accepted" | "declined" | "no-answer", jobId: JobId, epoch: number) => ({
      ...{ decisionId: decided[0]?.decisionId ?? "", jobId, epoch, answer: said, atMs: Date.now() },
    });
    await storeAnswers(database.db, [answer("no-answer", jobs.waits, 2), answer("accepted", others.runs, 1)]);
    expect([await stateOf(jobs.waits), await stateOf(others.runs)]).toEqual(["awarded", "running"]);
    await storeAnswers(database.db, [answer("declined", jobs.waits, 1)]);
    expect(await stateOf(jobs.waits)).toBe("awarded");
    await storeAnswers(database.db, [answer("declined", jobs.waits, 2), answer("declined", others.runs, 1)]);
    expect([await stateOf(jobs.waits), await stateOf(others.runs)]).toEqual(["requested", "running"]);
  });

  test("a list ends what it does not name only when it was made after the record's last word", async () => {
    const observations = createObservations({ db: database.db, log: silentLog });
    const old = await addJob("running", 60);
    const awarded = await addJob("awarded", 60);
    const take = (atMs: number) => observations.takeLists([{ hostId, atMs, jobs: [], unknown: [] }]);
    expect(await take(Date.now() - 61_000)).toBe(false);
    expect(await stateOf(old)).toBe("running");
    expect(await take(Date.now())).toBe(true);
    expect([await stateOf(old), await stateOf(awarded)]).toEqual(["failed", "requested"]);
  });

  test("a host that is silent for long is lost, and its jobs with it", async () => {
    const job = await addJob("running", 1);
    await record.asAdmin(async (client) => {
      for (const [i, id] of [hostId, newId("host"), newId("host")].entries()) {
        await client.query(
          `insert into api.hosts (id, name, node_address, subnet, zone, agent_key, logshipper_key, curve_key)
           values ($1, $2, '127.0.0.1', $3, 'z', $1, $1, $1)`,
          [id, `h${i}`, `10.99.${i}.0/24`],
        );
        await client.query(
          "insert into scheduler.hosts_seen (host_id, state, last_heartbeat_at, boot_id, heartbeat) values ($1, 'alive', now() - $2 * interval '1 second', 'b', '{}')",
          [id, i === 0 ? 30 : 0],
        );
      }
    });
    const limits = { suspectAfterMs: 20, lostAfterMs: 50 };
    const hosts = new HostRegistry({ db: database.db, bus: null as never, log: silentLog, limits });
    await expect.poll(() => hosts.judge(async () => {})).toBe(true);
    await expect
      .poll(async () => {
        await record.asAdmin((client) =>
          client.query("update scheduler.hosts_seen set last_heartbeat_at = now() where host_id <> $1", [
            hostId,
          ]),
        );
        await hosts.judge(async () => {});
        return stateOf(job);
      })
      .toBe("lost");
  });

  test("each change leaves its event in its own transaction; what is rolled back leaves none", async () => {
    await record.asAdmin((client) => client.query("truncate scheduler.events"));
    const job = await addJob("requested", 0);
    const { db } = database;
    await db
      .updateTable("jobs")
      .set({ state: "failed", reason_code: "crashed", reason: "exit code 1\nsecret output" })
      .where("id", "=", job)
      .execute();
    await db.updateTable("jobs").set({ restarts_count: 3 }).where("id", "=", job).execute();
    const undone = db.transaction().execute(async (trx) => {
      await recordEvent(trx, { kind: "evictions.frozen", details: {} });
      throw new Error("undone");
    });
    await expect(undone).rejects.toThrow("undone");
    const seen = { host_id: hostId, last_heartbeat_at: new Date(), boot_id: "b1" };
    await db
      .insertInto("hosts_seen")
      .values({ ...seen, state: "alive", heartbeat: "{}" })
      .execute();
    for (const alarms of [[{ code: "disk", detail: "1" }], [{ code: "disk", detail: "2" }], []])
      await db
        .updateTable("hosts_seen")
        .set({ heartbeat: JSON.stringify({ state: { unavailable: [], alarms } }) })
        .execute();
    await db.updateTable("hosts_seen").set({ state: "suspect", boot_id: "b2" }).execute();
    const events = await sql<{ kind: string; details: object }>`
      select kind, details from events order by id`.execute(db);
    expect(events.rows.map(({ kind }) => kind)).toEqual([
      ...["job.requested", "job.failed", "host.first-heard", "host.alarms", "host.alarms"],
      ...["host.suspect", "host.booted"],
    ]);
    expect(events.rows[1]?.details).toMatchObject({
      from: "requested",
      reasonCode: "crashed",
      reason: "exit code 1",
    });
  });

  test("many heartbeats are one statement, and each host has its own history; a bad one fails the whole", async () => {
    await record.asAdmin((client) => client.query("truncate scheduler.events"));
    const [one, two] = [newId("host") as HostId, newId("host") as HostId].toSorted();
    const beat = (id: HostId | undefined, bootId: string, name = "h") =>
      ({
        hostId: id,
        bootId,
        agentStartedAtMs: 1,
        jobs: [],
        state: { name, unavailable: [], alarms: [] },
      }) as never;
    await storeBeats(database.db, [beat(two, "b1"), beat(one, "b1")]);
    await storeBeats(database.db, [beat(one, "b2"), beat(two, "b1", "a line\nbreak")]);
    await expect(storeBeats(database.db, [beat(one, "b3"), beat(two, "b1", "\0")])).rejects.toThrow();
    const events = await sql<{ kind: string; host_id: string }>`
      select kind, host_id from events order by id`.execute(database.db);
    expect(events.rows.map(({ kind, host_id }) => [kind, host_id])).toEqual([
      ["host.first-heard", one],
      ["host.first-heard", two],
      ["host.booted", one],
    ]);
    const seen = await database.db
      .selectFrom("hosts_seen")
      .select(["boot_id", "state"])
      .orderBy("host_id")
      .execute();
    expect(seen).toEqual([
      { boot_id: "b2", state: "alive" },
      { boot_id: "b1", state: "alive" },
    ]);
  });

  test("a host that says nothing new is heard: it lives again, and its heartbeat stays", async () => {
    const { db } = database;
    const heartbeat = JSON.stringify({ state: { name: "h" } });
    const before = { state: "suspect", boot_id: "b", heartbeat, last_heartbeat_at: new Date(0) } as const;
    await db
      .insertInto("hosts_seen")
      .values({ ...before, host_id: hostId })
      .execute();
    expect(await touchHosts(db, [hostId, newId("host") as HostId])).toBe(1);
    const rows = await db.selectFrom("hosts_seen").selectAll().execute();
    expect(rows).toMatchObject([{ host_id: hostId, state: "alive", heartbeat: { state: { name: "h" } } }]);
    expect(rows[0]?.last_heartbeat_at.getTime()).toBeGreaterThan(Date.now() - 60_000);
  });

  test("an auction reads all that waits, each job once, also where many came at the same time", async () => {
    const spec = JSON.stringify({
      ...{ orgId: newId("org"), serviceId: newId("service"), process: "web" },
      image: { repository: "o/s", digest: `sha256:${"1".repeat(64)}`, bytes: 1 },
      resources: DEFAULT_RESOURCES,
    });
    await record.query(
      `insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, created_at)
       select 'j' || n, 'o', 'e', 's', 'r', 'd', 'web', n, $1, case when n > 5 then 'epoch'::timestamptz else now() end
         from generate_series(1, $2::int) n`,
      [spec, MOST_LOTS + 7],
    );
    await record.query(
      `insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, host_id, state, leaving)
       select 'old' || n, 'o', 'e', 's', 'old', 'd', 'web', n, $1, $2, (array['running', 'running', 'failed'])[n], n = 2
         from generate_series(1, 3) n`,
      [spec, hostId],
    );
    const pages: string[][] = [];
    for await (const jobs of auctionPages(database.db, 0)) {
      // j1 replaces one that stays; j2's is to leave its host, j3's is not there any more.
      for (const { id, lot } of jobs) expect(lot.former?.hostId, id).toBe(id === "j1" ? hostId : undefined);
      pages.push(jobs.map(({ id }) => id));
      for (const job of jobs) expect(JSON.parse(job.spec)).toEqual({ ...JSON.parse(spec), epoch: 1 });
    }
    expect(pages.map((page) => page.length)).toEqual([MOST_LOTS, 7]);
    expect(new Set(pages.flat()).size).toBe(MOST_LOTS + 7);
    expect(pages[1]?.slice(-5)).toEqual(["j1", "j2", "j3", "j4", "j5"]);
  });

  test("many hosts' lists in one go: each job goes by its own host's list", async () => {
    const away = newId("host") as HostId;
    const [starting, gone, other] = [
      await addJob("accepted", 60),
      await addJob("running", 60),
      await record.addJob(away, "running", 60),
    ];
    const seen = (jobId: JobId, state: string, sequence: number) =>
      ({
        ...{ jobId, epoch: 1, sequence, state, ready: state === "running", address: "10.0.0.2", port: 80 },
        ...{ restartsCount: 0, exitCode: null, reasonCode: null, reason: null, lastLines: ["x"], stages: [] },
      }) as never;
    const observations = createObservations({ db: database.db, log: silentLog });
    const lists = [
      {
        hostId,
        atMs: Date.now(),
        jobs: [seen(starting, "running", 4), seen(other, "failed", 9)],
        unknown: [],
      },
      { hostId: away, atMs: Date.now(), jobs: [seen(other, "running", 2)], unknown: [] },
    ];
    expect(await observations.takeLists(lists)).toBe(true);
    expect(await observations.takeLists(lists)).toBe(false);
    const rows = await database.db
      .selectFrom("jobs")
      .select(["id", "state", "ready", "observed_sequence", "reason_code", "last_lines"])
      .execute();
    const byId = new Map(rows.map(({ id, ...row }) => [id, row]));
    const running = { state: "running", ready: true, reason_code: null, last_lines: ["x"] };
    expect(byId.get(starting)).toEqual({ ...running, observed_sequence: 4 });
    expect(byId.get(other)).toEqual({ ...running, observed_sequence: 2 });
    expect(byId.get(gone)).toMatchObject({ state: "failed", ready: false, reason_code: "start-failed" });
  });

  test("an org's history is bounded, and pushes out no other's", async () => {
    await record.asAdmin((client) =>
      client.query(`truncate scheduler.events;
        insert into scheduler.events (kind, org_id, at) select 'k' || n, case when n <= 10 then 'noisy' end, now() from generate_series(1, 12) n;
        insert into scheduler.events (kind, org_id, at) values ('old', 'quiet', now() - interval '40 days'), ('new', 'quiet', now())`),
    );
    await trimEvents(database.db, 3);
    const left = await sql<{ kind: string }>`select kind from events order by id`.execute(database.db);
    expect(left.rows.map(({ kind }) => kind)).toEqual(["k8", "k9", "k10", "k11", "k12", "new"]);
  });

  test("images for rollbacks: the newest ten releases and the current one of services with a job", async () => {
    const [here, elsewhere] = [newId("service"), newId("service")];
    const add = async (client: pg.Client, service: string, version: number) =>
      client.query(
        `insert into api.releases (id, service_id, version, deploy_id, commit, image_repository, image_digest, image_bytes,
           processes, profile, config_version, process_settings, description, cause)
         values ($1, $2, $3, $1, 'c', 'r', $4, 1, '{}', '{}', 0, '{}', '', 'push')`,
        [`${service}-${version}`, service, version, `sha256:${version}`],
      );
    await record.asAdmin(async (client) => {
      await client.query("insert into api.orgs (id, name) values ('o', 'o') on conflict do nothing");
      await client.query("insert into api.environments (id, org_id, name) values ('e', 'o', 'e')");
      for (const [at, service] of [here, elsewhere].entries()) {
        await client.query(
          `insert into api.services (id, org_id, environment_id, name, hostname_label, current_release_id)
           values ($1, 'o', 'e', $2, $2, $3)`,
          [service, `s${at}`, `${service}-1`],
        );
        for (let version = 1; version <= 12; version++) await add(client, service, version);
      }
    });
    expect(await readReleaseImages(database.db)).toEqual([]);
    const job = await addJob("running", 1);
    await record.asAdmin((client) =>
      client.query("update scheduler.jobs set service_id = $1 where id = $2", [here, job]),
    );
    const images = await readReleaseImages(database.db);
    const versions = images.map(({ version }) => version).sort((a, b) => a - b);
    expect(versions).toEqual([1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(images.filter(({ isCurrent }) => isCurrent)).toEqual([
      { serviceId: here, version: 1, digest: "sha256:1", isCurrent: true },
    ]);
  });
});
