/** Alarms, a single writer's slot and the rebalancer's moves on a real PostgreSQL. */
import type { HostId, JobId } from "@berth/shared/domain/ids.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Alarm } from "../core/judge-alarms.ts";
import type { MoveStep, OpenMove } from "../core/steer-moves.ts";
import { adminUrl, TestRecord } from "../testing/test-record.ts";
import { storeAlarms } from "./alarms.ts";
import { isSlotFree } from "./create-job.ts";
import { applyMoveStep } from "./rebalancer.ts";

describe.skipIf(adminUrl === undefined)("hosts that are away, and moves", () => {
  let record: TestRecord;
  let database: TestRecord["database"];
  const hostId = newId("host") as HostId;
  const addJob = (state: string, seconds: number) => record.addJob(hostId, state, seconds);

  beforeAll(async () => {
    record = await TestRecord.start(`scheduler_absence_${process.pid}`);
    database = record.database;
  });
  afterAll(() => record?.close());
  beforeEach(() => record.empty());

  test("alarms are raised once, told anew when they change, and cleared", async () => {
    const store = (...wanted: Alarm[]) =>
      database.db.transaction().execute((trx) => storeAlarms(trx, wanted));
    const frozen = (detail: string): Alarm => ({ code: "evictions-frozen", subject: "pod", detail });
    expect((await store(frozen("3 of 5"))).raised).toHaveLength(1);
    expect(await store(frozen("4 of 5"))).toMatchObject({ raised: [], cleared: [] });
    expect((await store()).cleared).toHaveLength(1);
    await store(frozen("5 of 5"));
    const rows =
      await sql`select detail, cleared_at is null as open from scheduler.alarms order by id`.execute(
        database.db,
      );
    expect(rows.rows).toEqual([
      { detail: "4 of 5", open: false },
      { detail: "5 of 5", open: true },
    ]);
  });

  test("a single writer's slot is free only when its lost job was given up and its host is still lost", async () => {
    const job = await addJob("lost", 60);
    const look = () =>
      database.db
        .transaction()
        .execute((trx) => isSlotFree(trx, { serviceId: job, process: "web", slot: 1 }));
    const set = (text: string) => record.query(text);
    await set(
      `insert into scheduler.hosts_seen (host_id, state, last_heartbeat_at, boot_id, heartbeat) values ('${hostId}', 'lost', now(), 'b', '{}')`,
    );
    expect(await look()).toBe(false);
    await set("update scheduler.jobs set desired = 'stop'");
    expect(await look()).toBe(true);
    await set("update scheduler.hosts_seen set state = 'alive'");
    expect(await look()).toBe(false);
    await set("update scheduler.jobs set state = 'finished'");
    expect(await look()).toBe(true);
  });

  test("a move marks one job as leaving, never two at once, and is taken back whole", async () => {
    const [first, second] = [await addJob("running", 0), await addJob("running", 0)];
    await database.db.updateTable("jobs").set({ ready: true, rotation: "in" }).execute();
    await sql`insert into scheduler.rebalances (id, cause) values ('rbl_1', 'requested')`.execute(
      database.db,
    );
    const key = {
      process: "web",
      slot: 1,
      fromHostId: hostId,
      toHostId: newId("host"),
      gain: 1,
      reason: "r",
    };
    const moveOf = (jobId: JobId): MoveStep => ({
      kind: "start-move",
      move: { ...key, jobId, serviceId: jobId as never },
    });
    const apply = (step: MoveStep, open: JobId | null = null) =>
      database.db
        .transaction()
        .execute((trx) =>
          applyMoveStep(trx, step, "rbl_1", open === null ? null : ({ jobId: open } as OpenMove)),
        );
    await apply(moveOf(first));
    await expect(apply(moveOf(second))).rejects.toThrow(/moves_one_open/);
    const leaving = async () =>
      (await database.db.selectFrom("jobs").select("id").where("leaving", "=", true).execute()).map(
        ({ id }) => id,
      );
    expect(await leaving()).toEqual([first]);
    await apply({ kind: "take-back-move", successors: [second] }, first);
    expect(await leaving()).toEqual([]);
    const rows = await sql`
      select m.state, r.state as run, j.desired from scheduler.moves m join scheduler.rebalances r on r.id = m.rebalance_id, scheduler.jobs j
       where j.id = ${second}`.execute(database.db);
    expect(rows.rows).toEqual([{ state: "given-up", run: "finished", desired: "stop" }]);
    await apply(moveOf(second));
    expect(await leaving()).toEqual([]);
  });
});
