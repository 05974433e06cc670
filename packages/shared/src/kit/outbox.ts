/**
 * The transactional outbox: a fact is stored in the same transaction as the change it tells of, and a relay
 * publishes it until JetStream acknowledged. Losing NATS, or its store, delays facts and loses none that matters:
 * reconcilers read the tables.
 */
import type { Kysely, Transaction } from "kysely";
import { sql } from "kysely";
import type { z } from "zod";
import type { EventContract } from "../contracts/event.ts";
import { fillSubject } from "../contracts/event.ts";
import type { Bus } from "./bus.ts";
import { crashPoint } from "./crash-point.ts";
import type { Log } from "./log.ts";
import { Reconciler } from "./reconciler.ts";
import type { Closable } from "./service.ts";
import { traceparent } from "./telemetry.ts";

export interface OutboxTable {
  id: import("kysely").Generated<number>;
  event: string;
  subject: string;
  payload: string;
  dedupe_id: string;
  headers: string;
  attempts: import("kysely").Generated<number>;
  created_at: import("kysely").Generated<Date>;
}

// biome-ignore lint/suspicious/noExplicitAny: any database that has an `outbox` table in its own schema
type AnyTables = any;

/**
 * Stores a fact for the relay.
 * @param parent traceparent to send along; the active span's by default
 */
export async function addToOutbox<P extends z.ZodType>(
  trx: Transaction<AnyTables>,
  event: EventContract<P>,
  payload: z.infer<P>,
  parent: string | null = traceparent(),
): Promise<void> {
  const parsed = event.payload.parse(payload);
  await trx
    .insertInto("outbox")
    .values({
      event: event.name,
      subject: fillSubject(event.subject, parsed as object),
      payload: JSON.stringify(parsed),
      dedupe_id: event.dedupeId(parsed),
      headers: JSON.stringify(parent === null ? {} : { traceparent: parent }),
    })
    .execute();
}

export interface OutboxRelay extends Closable {
  /** Call it after the commit: the fact leaves within milliseconds instead of within the period. */
  wake(): void;
}

interface OutboxRow {
  id: number;
  event: string;
  subject: string;
  payload: unknown;
  dedupe_id: string;
  headers: Record<string, string>;
  attempts: number;
}

const BATCH = 64;

export function createOutboxRelay(given: {
  db: Kysely<AnyTables>;
  bus: Bus;
  log: Log;
  everyMs?: number;
}): OutboxRelay {
  const reconciler = new Reconciler({
    name: "outbox",
    everyMs: given.everyMs ?? 1000,
    log: given.log,
    run: async () => {
      if (!given.bus.connected) return;
      while ((await relayBatch(given.db, given.bus)) === BATCH);
    },
  });
  void given.bus.ready.then(reconciler.wake);
  return reconciler;
}

/** Publishes the oldest rows and deletes what was acknowledged. @returns the number of rows seen */
async function relayBatch(db: Kysely<AnyTables>, bus: Bus): Promise<number> {
  return db.transaction().execute(async (trx) => {
    const rows = (
      await sql<OutboxRow>`select id, event, subject, payload, dedupe_id, headers, attempts from outbox order by id limit ${BATCH} for update skip locked`.execute(
        trx,
      )
    ).rows;
    if (rows.length === 0) return 0;
    // A second attempt gets its own id: inside the duplicate window the server would drop it in silence.
    const outcomes = await Promise.allSettled(
      rows.map((row) =>
        bus.publishStored(
          row.subject,
          JSON.stringify(row.payload),
          `${row.dedupe_id}.${row.attempts}`,
          row.headers,
        ),
      ),
    );
    crashPoint("outbox.published-not-deleted");
    const done = rows.filter((_row, i) => outcomes[i]?.status === "fulfilled").map((row) => row.id);
    const failed = rows.filter((_row, i) => outcomes[i]?.status === "rejected").map((row) => row.id);
    if (done.length > 0) await trx.deleteFrom("outbox").where("id", "in", done).execute();
    if (failed.length > 0) {
      await trx
        .updateTable("outbox")
        .set({ attempts: sql`attempts + 1` })
        .where("id", "in", failed)
        .execute();
      return 0; // the period tries again
    }
    return rows.length;
  });
}
