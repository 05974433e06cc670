/**
 * Who writes many rows of the record one after the other, beside those that write many at once, on a real PostgreSQL:
 * neither waits for the other for ever.
 */
import type { HostId, JobId, ServiceId } from "@berth/shared/domain/ids.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { OpenMove } from "../core/steer-moves.ts";
import type { Step } from "../core/views.ts";
import { adminUrl, TestRecord } from "../testing/test-record.ts";
import { storeAnswers } from "./auction-record.ts";
import { touchHosts } from "./heartbeat-book.ts";
import { HostRegistry } from "./host-registry.ts";
import { applyMoveStep, noteReadyHosts } from "./rebalancer.ts";
import { wakeService } from "./sleeps.ts";
import { applySteps } from "./steps.ts";

describe.skipIf(adminUrl === undefined)("the order of locks", () => {
  let record: TestRecord;
  beforeAll(async () => {
    record = await TestRecord.start(`locks_test_${process.pid}`);
  });
  afterAll(() => record?.close());
  beforeEach(async () => {
    await record.empty();
    await record.query("truncate scheduler.sleeps");
  });

  const patient = { timeout: 30_000 };
  const service = newId("service") as ServiceId;
  /** Hosts and jobs: the first id is the higher one, and its row is found first. */
  const hosts = [newId("host"), newId("host")].toSorted().reverse() as [HostId, HostId];
  let jobs: [JobId, JobId];

  async function addJobs(hostId: HostId): Promise<void> {
    const [low, high] = [newId("job"), newId("job")].toSorted() as [JobId, JobId];
    jobs = [high, low];
    for (const [at, id] of jobs.entries())
      await record.query(
        `insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, epoch, state,
           host_id, sleep_level) values ($1, 'o', 'e', $2, 'r', 'd', 'web', $3, '{}', 1, 'running', $4, 'stopped')`,
        [id, service, at + 1, hostId],
      );
  }

  async function addHosts(): Promise<void> {
    for (const [at, id] of [...hosts, newId("host"), newId("host")].entries()) {
      await record.query(
        `insert into api.hosts (id, name, node_address, subnet, zone, agent_key, logshipper_key, curve_key)
         values ($1, $1, '127.0.0.1', $2, 'z', $1, $1, $1)`,
        [id, `10.97.${at}.0/24`],
      );
      await record.query(
        "insert into scheduler.hosts_seen (host_id, state, last_heartbeat_at, boot_id, heartbeat) values ($1, 'alive', now(), 'b', '{}')",
        [id],
      );
    }
  }

  const isWaiting = async (count: number): Promise<void> => {
    const { db } = record.database;
    await expect
      .poll(async () => {
        const { rows } = await sql<{ count: number }>`
          select count(*)::int as count from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(
          db,
        );
        return rows[0]?.count;
      }, patient)
      .toBe(count);
  };

  /** The row with the lower id is held until `many` waits for it, then `writer` for it or for `many`. */
  async function meet(
    low: string,
    many: () => Promise<unknown>,
    writer: () => Promise<unknown>,
  ): Promise<void> {
    const running: Promise<unknown>[] = [];
    await record.asAdmin(async (client) => {
      await client.query("begin");
      await client.query(low);
      running.push(many());
      await isWaiting(1);
      running.push(writer());
      await isWaiting(2);
      await client.query("commit");
    });
    await Promise.all(running);
  }

  const answers = () =>
    storeAnswers(
      record.database.db,
      jobs.map((jobId) => ({ decisionId: "d", jobId, epoch: 1, answer: "accepted", atMs: 1 })),
    );
  const meetAnswers = (writer: () => Promise<unknown>) =>
    meet(`select from scheduler.jobs where id = '${jobs[1]}' for update`, answers, writer);
  const steps = (made: readonly Step[]) => {
    const leadership = { epoch: 1, fence: async () => {}, held: sql``, close: async () => {} };
    return applySteps({ db: record.database.db, leadership, readinessDeadlineMs: 1 }, service, made);
  };

  test("the steps of a plan", async () => {
    await addJobs(hosts[0]);
    await meetAnswers(() => steps(jobs.map((jobId) => ({ kind: "set-rotation", jobId, rotation: "in" }))));
  });

  test("a service that is laid down, and one that is woken", async () => {
    await addJobs(hosts[0]);
    await record.query("insert into scheduler.sleeps (service_id, epoch, state) values ($1, 1, 'falling')", [
      service,
    ]);
    const base = { kind: "step-sleep", cause: "asked", wokenBy: null, orderAtMs: null } as const;
    const from = { state: "falling", epoch: 1 } as const;
    await meetAnswers(() => steps([{ ...base, from, to: "asleep", level: "frozen" } as Step]));
    await meetAnswers(() => wakeService(record.database.db, service, 1, hosts[0]));
    const { rows } = await sql`select from scheduler.jobs where sleep_level is null`.execute(
      record.database.db,
    );
    expect(rows).toHaveLength(2);
  });

  test("a move that is taken back", async () => {
    await addJobs(hosts[0]);
    const open = { jobId: jobs[1] } as OpenMove;
    const step = { kind: "take-back-move", successors: [jobs[0]] } as const;
    await meetAnswers(() =>
      record.database.db.transaction().execute((trx) => applyMoveStep(trx, step, null, open)),
    );
  });

  test("the jobs of a host that is lost", async () => {
    await addHosts();
    const { db } = record.database;
    const limits = { suspectAfterMs: 200, lostAfterMs: 400 };
    const registry = new HostRegistry({ db, bus: null as never, log: silentLog, limits });
    const judge = () => registry.judge(async () => {});
    await expect
      .poll(async () => {
        await record.query("update scheduler.hosts_seen set last_heartbeat_at = now() where host_id <> $1", [
          hosts[0],
        ]);
        await judge();
        const { rows } = await sql`select from hosts_seen where state = 'lost'`.execute(db);
        return rows.length;
      }, patient)
      .toBe(1);
    await addJobs(hosts[0]);
    await meetAnswers(judge);
    const { rows } = await sql`select from jobs where state = 'lost'`.execute(db);
    expect(rows).toHaveLength(2);
  });

  test("hosts that take work", async () => {
    await addHosts();
    const { db } = record.database;
    await meet(
      `select from scheduler.hosts_seen where host_id = '${hosts[1]}' for update`,
      () => touchHosts(db, hosts),
      () => noteReadyHosts(db),
    );
    const { rows } = await sql`select from hosts_seen where takes_work_since is not null`.execute(db);
    expect(rows).toHaveLength(4);
  });
});
