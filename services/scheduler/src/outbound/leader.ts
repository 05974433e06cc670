/**
 * Leadership: a lease in PostgreSQL with a fencing epoch. Every write of a leader checks the epoch in its own
 * transaction, so a scheduler that was paused past its lease changes nothing.
 */
import { randomUUID } from "node:crypto";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import type { Kysely, RawBuilder, Transaction } from "kysely";
import { sql } from "kysely";
import { contend as contendFor, type LeaderRow, mayCommit } from "../core/lead.ts";
import type { Tables } from "./tables.ts";

const NAME = "scheduler";

export class StaleLeader extends Error {
  override name = "StaleLeader";
}

export interface Leadership {
  /** The fencing epoch while this process leads, else null. */
  readonly epoch: number | null;
  /** @throws StaleLeader when another scheduler leads by now */
  fence(trx: Transaction<Tables>): Promise<void>;
  /** The same for a statement that is a transaction of its own: a row, locked until its commit, while this process leads. */
  readonly held: RawBuilder<unknown>;
  close(): Promise<void>;
}

/** The stored lease, locked until the transaction ends. The record's clock says whether it is over. */
async function readLead(trx: Transaction<Tables>, lock: "share" | "update"): Promise<LeaderRow | null> {
  const rows = await sql<LeaderRow>`
    select holder, epoch, expires_at <= clock_timestamp() as expired from leader where name = ${NAME} for ${sql.raw(lock)}`.execute(
    trx,
  );
  return rows.rows[0] ?? null;
}

/** @returns the epoch that `holder` leads under from now on, or null */
async function takeLead(trx: Transaction<Tables>, holder: string, leaseMs: number): Promise<number | null> {
  // The row exists before it is locked, so that two first schedulers take turns.
  await sql`insert into leader (name, holder, epoch, expires_at) values (${NAME}, '', 0, clock_timestamp()) on conflict (name) do nothing`.execute(
    trx,
  );
  const epoch = contendFor(await readLead(trx, "update"), holder);
  if (epoch === null) return null;
  await sql`update leader set holder = ${holder}, epoch = ${epoch}, expires_at = clock_timestamp() + ${leaseMs} * interval '1 millisecond' where name = ${NAME}`.execute(
    trx,
  );
  return epoch;
}

export function contendForLeadership(given: {
  db: Kysely<Tables>;
  leaseMs: number;
  log: Log;
  onElected: () => void;
}): Leadership {
  const holder = randomUUID();
  let epoch: number | null = null;
  let heldUntilMs = 0;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  const contend = async () => {
    const askedAtMs = performance.now();
    const won = await given.db.transaction().execute((trx) => takeLead(trx, holder, given.leaseMs));
    if (won !== null) heldUntilMs = askedAtMs + given.leaseMs;
    if (won !== null && won !== epoch) {
      given.log.info("leader.elected", { epoch: won });
      epoch = won;
      given.onElected();
    }
    if (won === null && epoch !== null) given.log.warn("leader.deposed", { epoch });
    if (won === null) epoch = null;
  };
  const loop = () => {
    contend()
      .catch((error: unknown) => given.log.warn("leader.contend-failed", { error: describeError(error) }))
      .finally(() => {
        if (!closed) timer = setTimeout(loop, given.leaseMs / 4);
      });
  };
  loop();

  return {
    get epoch() {
      return performance.now() < heldUntilMs ? epoch : null;
    },
    async fence(trx) {
      const row = await readLead(trx, "share");
      if (!mayCommit(row, holder, epoch)) throw new StaleLeader("another scheduler leads");
    },
    // As `mayCommit` has it.
    get held() {
      return sql`select 1 from leader where name = ${NAME} and holder = ${holder} and epoch = ${epoch}
                    and expires_at > clock_timestamp() for share`;
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      // A clean stop hands over at once.
      if (epoch !== null)
        await sql`update leader set expires_at = now() where name = ${NAME} and holder = ${holder}`.execute(
          given.db,
        );
    },
  };
}
