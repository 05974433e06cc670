/** Orders to sleep and to wake, and what the scheduler says of a service's sleep. */
import type { SleepLevel } from "@berth/shared/domain/sleep.ts";
import { sql } from "kysely";
import type { Reply } from "../inbound/http/routes.ts";
import type { Db, Trx } from "./tables.ts";

type Sleep = Reply<"sleepService">["sleep"];

const NEVER_SLEPT: Sleep = {
  state: "awake",
  epoch: 0,
  level: "stopped",
  cause: "asked",
  sinceMs: 0,
  lastColdStartMs: null,
  lastColdStart: [],
};

export async function readSleep(db: Db | Trx, serviceId: string): Promise<Sleep> {
  const found = await sql<Sleep>`
    select state, epoch, level, cause, (extract(epoch from state_since) * 1000)::float8 as "sinceMs",
           last_cold_start_ms as "lastColdStartMs", last_cold_start as "lastColdStart"
      from scheduler.sleeps where service_id = ${serviceId}`.execute(db);
  return found.rows[0] ?? NEVER_SLEPT;
}

/** The newest order counts; an earlier one that was not taken is forgotten. */
export async function orderSleep(
  trx: Trx,
  serviceId: string,
  wanted: "sleep" | "wake",
  level: SleepLevel,
): Promise<void> {
  await sql`
    insert into api.sleep_orders (service_id, wanted, level, requested_at)
    values (${serviceId}, ${wanted}, ${level}, clock_timestamp())
    on conflict (service_id) do update
      set wanted = excluded.wanted, level = excluded.level, requested_at = excluded.requested_at`.execute(
    trx,
  );
}
