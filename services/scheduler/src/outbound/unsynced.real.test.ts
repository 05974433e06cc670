/** What hosts say again is stored without waiting for the disk; all else waits. On a real PostgreSQL. */
import type { HostId } from "@berth/shared/domain/ids.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { adminUrl, TestRecord } from "../testing/test-record.ts";
import { touchHosts } from "./heartbeat-book.ts";

const hostId = newId("host") as HostId;
/** The log's own writer takes what waits to the disk now and then, perhaps between a commit and the look at it. */
const tries = 20;
let record: TestRecord;

beforeAll(async () => {
  if (adminUrl !== undefined) record = await TestRecord.start(`unsynced_test_${process.pid}`);
});
afterAll(() => record?.close());

test.skipIf(adminUrl === undefined)(
  "a host that says nothing new is noted without waiting for the disk",
  async () => {
    const { db } = record.database;
    const insert = { host_id: hostId, state: "alive" as const, last_heartbeat_at: new Date(0) };
    await db
      .insertInto("hosts_seen")
      .values({ ...insert, boot_id: "b1", heartbeat: JSON.stringify({}) as never })
      .execute();
    /** So often something that was committed was not on the disk. */
    const ahead = async (store: () => Promise<unknown>): Promise<number> => {
      let count = 0;
      for (let i = 0; i < tries; i += 1) {
        await store();
        const { rows } = await sql<{ waits: boolean }>`
        select pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn() as waits`.execute(db);
        if (rows[0]?.waits === true) count += 1;
      }
      return count;
    };
    const touched = await ahead(() => touchHosts(db, [hostId]));
    const plain = await ahead(() =>
      db
        .updateTable("hosts_seen")
        .set({ last_heartbeat_at: new Date() })
        .where("host_id", "=", hostId)
        .execute(),
    );
    expect(touched).toBeGreaterThan(plain);
  },
);
