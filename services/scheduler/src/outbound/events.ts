/**
 * The pod's history. Triggers write what happens to jobs, deploys and hosts (migrations/0004-events.sql), in the
 * transaction of the change itself; here is what no row tells, and the history's bounds.
 *
 * What must stay true: one org's events push out no other org's.
 */
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Kysely, Transaction } from "kysely";
import { sql } from "kysely";
import type { Tables } from "./tables.ts";

export const EVENTS_KEPT_DAYS = 30;
/** Per org; the hosts' own, which are of no org, count as one. */
export const EVENTS_KEPT_PER_ORG = 20_000;

export interface PodEvent {
  readonly kind: string;
  readonly hostId?: HostId;
  readonly details: object;
}

export async function recordEvent(trx: Transaction<Tables>, event: PodEvent): Promise<void> {
  await sql`insert into events (kind, host_id, details)
            values (${event.kind}, ${event.hostId ?? null}, ${JSON.stringify(event.details)}::jsonb)`.execute(
    trx,
  );
}

/** Removes what is too old, then each org's oldest beyond the count. */
export async function trimEvents(db: Kysely<Tables>, keptPerOrg = EVENTS_KEPT_PER_ORG): Promise<void> {
  await sql`delete from events where at < now() - ${EVENTS_KEPT_DAYS} * interval '1 day'`.execute(db);
  await sql`
    delete from events using (
      select id from (select id, row_number() over (partition by org_id order by id desc) as n from events) numbered
       where n > ${keptPerOrg}) beyond
     where events.id = beyond.id`.execute(db);
}
