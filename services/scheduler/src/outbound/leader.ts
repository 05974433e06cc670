/**
 * Leadership: a lease in PostgreSQL with a fencing epoch. Every write of a leader checks the epoch in its own
 * transaction, so a scheduler that was paused past its lease changes nothing.
 */
import { randomUUID } from "node:crypto";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import type { Kysely, Transaction } from "kysely";
import { sql } from "kysely";
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
  close(): Promise<void>;
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
    const row = await sql<{ epoch: number }>`
      insert into leader as l (name, holder, epoch, expires_at)
      values (${NAME}, ${holder}, 1, now() + ${given.leaseMs} * interval '1 millisecond')
      on conflict (name) do update set
        epoch = case when l.holder = ${holder} then l.epoch else l.epoch + 1 end,
        holder = ${holder},
        expires_at = now() + ${given.leaseMs} * interval '1 millisecond'
      where l.holder = ${holder} or l.expires_at < now()
      returning epoch`.execute(given.db);
    const won = row.rows[0]?.epoch ?? null;
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
      const held = await sql`
        select 1 from leader where name = ${NAME} and holder = ${holder} and epoch = ${epoch} and expires_at > now() for share`.execute(
        trx,
      );
      if (held.rows.length === 0) throw new StaleLeader("another scheduler leads");
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
