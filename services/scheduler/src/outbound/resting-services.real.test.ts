/**
 * Which services a round leaves out, on a real PostgreSQL.
 * `BERTH_TEST_POSTGRES_URL` names one whose user may create databases.
 */
import type { HostId, JobId, ServiceId } from "@berth/shared/domain/ids.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ActivityBook } from "../core/activity-book.ts";
import { adminUrl, TestRecord } from "../testing/test-record.ts";
import type { HostRegistry } from "./host-registry.ts";
import type { Leadership } from "./leader.ts";
import { Rebalancer } from "./rebalancer.ts";
import { RestingServices } from "./resting-services.ts";
import { readSnapshot } from "./snapshot.ts";

describe.skipIf(adminUrl === undefined)("services at rest", () => {
  let record: TestRecord;
  beforeAll(async () => {
    record = await TestRecord.start(`resting_test_${process.pid}`);
    // Only what the snapshot reads of the router's.
    await record.query(
      "create schema router; create table router.route_tables (environment_id text, version int, sites jsonb, acknowledged_version int)",
    );
  });
  afterAll(() => record?.close());

  /** Deployed long ago, with one job that sleeps or runs. */
  async function addService(name: string, isAsleep: boolean): Promise<{ id: ServiceId; job: JobId }> {
    const [org, env, id] = [newId("org"), newId("environment"), newId("service")];
    const [release, deploy, job] = [newId("release"), newId("deploy"), newId("job")];
    await record.asAdmin(async (client) => {
      const run = (text: string, ...values: unknown[]) => client.query(text, values);
      await run("insert into api.orgs (id, name) values ($1, $2)", org, name);
      await run("insert into api.environments (id, org_id, name) values ($1, $2, 'prod')", env, org);
      await run(
        "insert into api.services (id, org_id, environment_id, name, hostname_label, policy) values ($1, $2, $3, $4, $4, '{}')",
        ...[id, org, env, name],
      );
      await run(
        `insert into api.releases (id, service_id, version, deploy_id, commit, image_repository, image_digest, image_bytes, processes,
           profile, config_version, process_settings, description, cause, env)
         values ($1, $2, 1, $3, $4, 'o/s', $5, 10, '{"web": {"command": "run"}}', '{}', 0, '[]', 'push', 'push', '{}')`,
        ...[release, id, deploy, "a".repeat(40), `sha256:${"b".repeat(64)}`],
      );
      await run("update api.services set current_release_id = $2 where id = $1", id, release);
      await run(
        "insert into scheduler.deploys (id, service_id, release_id, state, finished_at) values ($1, $2, $3, 'succeeded', now())",
        ...[deploy, id, release],
      );
      await run("insert into scheduler.serving (service_id, release_id) values ($1, $2)", id, release);
      await run(
        `insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, epoch, state, ready,
           rotation, host_id, sleep_level, updated_at)
         values ($1, $2, $3, $4, $5, $6, 'web', 1, '{}', 1, $7, $8, 'in', 'hst_x', $9, now() - interval '1 hour')`,
        ...[job, org, env, id, release, deploy, isAsleep ? "asleep" : "running", !isAsleep],
        isAsleep ? "stopped" : null,
      );
      if (isAsleep)
        await run(
          "insert into scheduler.sleeps (service_id, epoch, state, state_since) values ($1, 1, 'asleep', now() - interval '1 hour')",
          id,
        );
    });
    return { id, job };
  }

  const given = {
    unplaceable: new Map(),
    frozenHosts: new Set<HostId>(),
    activity: new ActivityBook(),
  };
  const act = () =>
    record.query("insert into api.audit (actor, action, target) values ('a', 'service.sleep-ordered', 's')");

  test("a sleeper is left out until something of it, or anybody's act, asks for it", async () => {
    const { db } = record.database;
    const [sleeper, awake] = [await addService("sleeper", true), await addService("awake", false)];
    const resting = new RestingServices(db);
    const round = async (reported: readonly string[] = []) => {
      const part = await resting.part();
      const snapshot = await readSnapshot(db, { ...given, reported, part });
      resting.note(snapshot, () => false);
      return { isWhole: part === null, snapshot, read: snapshot.services.map(({ serviceId }) => serviceId) };
    };

    const first = await round();
    expect(first.isWhole).toBe(true);
    expect(first.read.toSorted()).toEqual([sleeper.id, awake.id].toSorted());

    const second = await round();
    expect(second.isWhole).toBe(false);
    expect(second.read).toEqual([awake.id]);
    expect(second.snapshot.jobs.map(({ view }) => view.id).toSorted()).toEqual(
      [sleeper.job, awake.job].toSorted(),
    );

    await record.query("update scheduler.jobs set state = 'starting', updated_at = now() where id = $1", [
      sleeper.job,
    ]);
    expect((await round()).read).toContain(sleeper.id);
    await record.query("update scheduler.jobs set state = 'asleep', updated_at = now() where id = $1", [
      sleeper.job,
    ]);
    await round();

    await record.query(
      "update scheduler.sleeps set state = 'waking', state_since = clock_timestamp() where service_id = $1",
      [sleeper.id],
    );
    const woken = await round();
    expect(woken.isWhole).toBe(false);
    expect(woken.snapshot.services.find(({ serviceId }) => serviceId === sleeper.id)?.sleep.state).toBe(
      "waking",
    );

    await record.query(
      "insert into api.sleep_orders (service_id, wanted, level) values ($1, 'sleep', 'stopped')",
      [awake.id],
    );
    const orderIn = ({ snapshot }: Awaited<ReturnType<typeof round>>) =>
      snapshot.services.find(({ serviceId }) => serviceId === awake.id)?.sleep.order;
    expect(orderIn(await round())).toMatchObject({ wanted: "sleep" });
    await act();
    const ordered = await round();
    expect(ordered.isWhole).toBe(true);
    expect(orderIn(ordered)).toMatchObject({ wanted: "sleep" });

    resting.readAll();
    expect((await round()).isWhole).toBe(true);
  });

  test("what serves is left out while its host is alive and nothing of it changes", async () => {
    const { db } = record.database;
    const { id, job } = await addService("serving", false);
    await record.query(
      `insert into api.hosts (id, name, node_address, subnet, zone, agent_key, logshipper_key, curve_key)
       values ('hst_x', 'x', '127.0.0.1', '10.97.1.0/24', 'z', 'x', 'x', 'x')`,
    );
    await record.query(
      "insert into scheduler.hosts_seen (host_id, state, last_heartbeat_at, boot_id, heartbeat) values ('hst_x', 'alive', now(), 'b', '{}')",
    );
    await record.query(
      "insert into api.processes (service_id, process, scale, memory_bytes, cpu_millis) values ($1, 'web', 1, 1, 1)",
      [id],
    );
    const resting = new RestingServices(db);
    const reads = async () => {
      const part = await resting.part();
      const snapshot = await readSnapshot(db, { ...given, reported: [], part });
      resting.note(snapshot, () => false);
      expect(snapshot.isWhole).toBe(part === null);
      expect(snapshot.jobs.map(({ view }) => view.id)).toContain(job);
      return snapshot.services.some(({ serviceId }) => serviceId === id);
    };
    expect([await reads(), await reads()]).toEqual([true, false]);
    await record.query("update scheduler.jobs set ready = false, updated_at = now() where id = $1", [job]);
    expect([await reads(), await reads()]).toEqual([true, true]);
    await record.query(
      "update scheduler.jobs set ready = true, updated_at = now() - interval '1 hour' where id = $1",
      [job],
    );
    expect([await reads(), await reads()]).toEqual([true, false]);
    await record.query("update scheduler.hosts_seen set state = 'suspect' where host_id = 'hst_x'");
    expect([await reads(), await reads()]).toEqual([true, true]);
  });

  test("a rebalance asks for everything: what is at rest is what may move", async () => {
    const { db } = record.database;
    const snapshot = await readSnapshot(db, { ...given, reported: [], part: { services: [], resting: [] } });
    const settings = { mode: "off", movesPerHour: 1, leastGain: 1, settleMs: 0 } as const;
    const rebalancer = () => {
      const [hosts, leadership] = [{} as HostRegistry, {} as Leadership];
      return new Rebalancer({ db, log: silentLog, hosts, leadership, settings });
    };
    expect(await rebalancer().run(snapshot)).toBe("nothing");
    await record.query("insert into scheduler.rebalances (id, cause) values ('rbl_x', 'requested')");
    const asking = rebalancer();
    // Again at once, until everything was read.
    expect([await asking.run(snapshot), await asking.run(snapshot)]).toEqual(["needs-all", "needs-all"]);
    await record.query("delete from scheduler.rebalances");
  });

  test("a job that a host holds and the part lacks makes the reading whole", async () => {
    const { db } = record.database;
    const { job } = await addService("late", false);
    const part = { services: [], resting: [] };
    const snapshot = await readSnapshot(db, { ...given, reported: [job], part });
    expect(snapshot.jobs.map(({ view }) => view.id)).toContain(job);
    expect(snapshot.services.length).toBeGreaterThan(0);
  });
});
