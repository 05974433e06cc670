/**
 * The scheduler's statements on a real PostgreSQL: the lease and its fence, the hosts' judgement, a host's whole list.
 * `BERTH_TEST_POSTGRES_URL` names one whose user may create databases.
 */
import { readFile } from "node:fs/promises";
import type { HostId, JobId } from "@berth/shared/domain/ids.ts";
import { connectDatabase, type Database } from "@berth/shared/kit/database.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { HostRegistry } from "./host-registry.ts";
import { contendForLeadership, StaleLeader } from "./leader.ts";
import { createObservations } from "./observations.ts";
import type { Tables } from "./tables.ts";

const adminUrl = process.env.BERTH_TEST_POSTGRES_URL;
const name = `scheduler_test_${process.pid}`;

async function withClient(
  database: string | null,
  work: (client: pg.Client) => Promise<unknown>,
): Promise<void> {
  const url = new URL(adminUrl ?? "");
  if (database !== null) url.pathname = `/${database}`;
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

/** Tables only: the overview also needs the tables of git and builder. */
async function createTables(client: pg.Client): Promise<void> {
  for (const file of ["api/migrations/0001-tables.sql", "scheduler/migrations/0001-scheduler.sql"]) {
    const schema = file.split("/")[0];
    const text = await readFile(new URL(`../../../${file}`, import.meta.url), "utf8");
    await client.query(
      `create schema ${schema}; set search_path to ${schema}; ${text.split(/^create view/im)[0]}`,
    );
  }
}

describe.skipIf(adminUrl === undefined)("the scheduler's record", () => {
  let database: Database<Tables>;
  const hostId = newId("host") as HostId;

  beforeAll(async () => {
    await withClient(null, (admin) => admin.query(`create database ${name}`));
    await withClient(name, createTables);
    const url = new URL(adminUrl ?? "");
    url.pathname = `/${name}`;
    database = connectDatabase<Tables>({ url: url.href, schema: "scheduler", log: silentLog });
  });

  afterAll(async () => {
    await database.close();
    await withClient(null, (admin) => admin.query(`drop database ${name} with (force)`));
  });

  beforeEach(() =>
    withClient(name, (client) =>
      client.query("truncate scheduler.jobs, scheduler.hosts_seen, scheduler.leader; delete from api.hosts"),
    ),
  );

  const elected = async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const lead = contendForLeadership({ db: database.db, leaseMs: 4000, log: silentLog, onElected: resolve });
    await promise;
    return lead;
  };
  const addJob = async (state: string, seconds: number): Promise<JobId> => {
    const id = newId("job") as JobId;
    await withClient(name, (client) =>
      client.query(
        `insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, epoch, state, host_id, lease_expires_at, updated_at)
         values ($1, 'o', 'e', $1, 'r', 'd', 'web', 1, '{}', 1, $2, $3, now() - $4 * interval '1 second', now() - $4 * interval '1 second')`,
        [id, state, hostId, seconds],
      ),
    );
    return id;
  };
  const stateOf = async (id: string) =>
    (await database.db.selectFrom("jobs").select("state").where("id", "=", id).executeTakeFirst())?.state;

  test("a lease passes with a higher epoch, and the deposed leader's transaction is rejected", async () => {
    const first = await elected();
    expect(first.epoch).toBe(1);
    await database.db.transaction().execute((trx) => first.fence(trx));
    await database.db
      .updateTable("leader")
      .set({ expires_at: new Date(0) })
      .execute();
    const second = await elected();
    expect(second.epoch).toBe(2);
    await expect(database.db.transaction().execute((trx) => first.fence(trx))).rejects.toThrow(StaleLeader);
    await Promise.all([first.close(), second.close()]);
  });

  test("a list ends what it does not name only when it was made after the record's last word", async () => {
    const observations = createObservations({ db: database.db, log: silentLog });
    const old = await addJob("running", 60);
    const awarded = await addJob("awarded", 60);
    expect(await observations.takeWhole(hostId, Date.now() - 61_000, [])).toBe(false);
    expect(await stateOf(old)).toBe("running");
    expect(await observations.takeWhole(hostId, Date.now(), [])).toBe(true);
    expect([await stateOf(old), await stateOf(awarded)]).toEqual(["failed", "requested"]);
  });

  test("a host that is silent for long is lost, and its jobs with it", async () => {
    const job = await addJob("running", 1);
    await withClient(name, async (client) => {
      for (const [i, id] of [hostId, newId("host"), newId("host")].entries()) {
        await client.query(
          `insert into api.hosts (id, name, node_address, subnet, zone, agent_key, logshipper_key, curve_key)
           values ($1, $2, '127.0.0.1', $3, 'z', $1, $1, $1)`,
          [id, `h${i}`, `10.99.${i}.0/24`],
        );
        await client.query(
          "insert into scheduler.hosts_seen values ($1, 'alive', now() - $2 * interval '1 second', 'b', '{}')",
          [id, i === 0 ? 30 : 0],
        );
      }
    });
    const limits = { suspectAfterMs: 20, lostAfterMs: 50 };
    const hosts = new HostRegistry({ db: database.db, bus: null as never, log: silentLog, limits });
    await expect.poll(() => hosts.judge(async () => {})).toBe(true);
    await expect
      .poll(async () => {
        await withClient(name, (client) =>
          client.query("update scheduler.hosts_seen set last_heartbeat_at = now() where host_id <> $1", [
            hostId,
          ]),
        );
        await hosts.judge(async () => {});
        return stateOf(job);
      })
      .toBe("lost");
  });
});
