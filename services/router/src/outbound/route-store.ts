/**
 * Route tables and their acknowledgements in PostgreSQL.
 *
 * A host counts as live while the scheduler does not call it lost: one place decides that. A table is stored over the version
 * before it alone, so two routers can run without a version being given twice.
 */
import type { RouteTable } from "@berth/shared/contracts/route.ts";
import { RouteAcknowledged } from "@berth/shared/contracts/route.ts";
import type { Deferred } from "@berth/shared/domain/growth-rest.ts";
import type { EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";
import { UNSYNCED } from "@berth/shared/kit/database.ts";
import { addToOutbox } from "@berth/shared/kit/outbox.ts";
import { type Kysely, sql } from "kysely";
import { deferGrowth } from "../core/defer-growth.ts";
import { planTables } from "../core/plan-tables.ts";
import { LIVE_HOSTS, readRecord, type TableRow, tableOf } from "./read-record.ts";
import type { RouterTables } from "./tables.ts";

const MOST_TRIES = 20;

/**
 * Makes tables from what is stored and keeps those that changed and do not wait for more.
 *
 * Nobody waits for anybody: a table is stored over the version that was read with the record. Who comes second makes it again.
 * @param only of these environments; null: of all
 * @throws Error when others stored the same tables again and again meanwhile
 */
export async function storeTables(
  db: Kysely<RouterTables>,
  podDomain: string,
  only: readonly string[] | null = null,
): Promise<Deferred<RouteTable>> {
  if (only?.length === 0) return { now: [], waiting: [], againInMs: null };
  const told = new Map<string, RouteTable>();
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const { stored, ...world } = await readRecord(db, only);
    const changed = planTables({ ...world, stored, podDomain, nowMs: Date.now() });
    const { now, ...deferred } = deferGrowth(changed, stored);
    const kept = await storeOver(db, now);
    for (const table of now) if (kept.has(table.environmentId)) told.set(table.environmentId, table);
    if (kept.size === now.length) return { now: [...told.values()], ...deferred };
  }
  throw new Error(`route tables were stored by others ${MOST_TRIES} times meanwhile`);
}

/** One commit for all. @returns environments over whose former version they came */
async function storeOver(
  db: Kysely<RouterTables>,
  tables: readonly RouteTable[],
): Promise<ReadonlySet<string>> {
  if (tables.length === 0) return new Set();
  const rows = tables.map(({ environmentId, version, sites, proxies = [] }) => ({
    environment_id: environmentId,
    ...{ version, sites, proxies },
  }));
  const { rows: kept } = await sql<{ id: string }>`
    insert into route_tables (environment_id, version, sites, proxies)
    select environment_id, version, sites, proxies
      from jsonb_to_recordset(${JSON.stringify(rows)}) as t (environment_id text, version int, sites jsonb, proxies jsonb)
     order by environment_id
    on conflict (environment_id) do update
       set version = excluded.version, sites = excluded.sites, proxies = excluded.proxies, changed_at = now()
     where route_tables.version = excluded.version - 1
    returning environment_id as id`.execute(db);
  return new Set(kept.map(({ id }) => id));
}

export async function readVersions(db: Kysely<RouterTables>): Promise<Record<string, number>> {
  const rows = await db.selectFrom("route_tables").select(["environment_id", "version"]).execute();
  return Object.fromEntries(rows.map((row) => [row.environment_id, row.version]));
}

/** The newest change of any job with a host and the newest act of anybody: a cheap question that tells whether tables may differ. */
export async function readWatermark(db: Kysely<RouterTables>): Promise<string> {
  const { rows } = await sql<{ jobs: string | null; acts: string | null }>`
    select (select max(told_at)::text from scheduler.jobs) as jobs,
           (select max(id)::text from api.audit) as acts`.execute(db);
  return `${rows[0]?.jobs} ${rows[0]?.acts}`;
}

/**
 * Keeps what a host's edge said; an older word than the stored one changes nothing. Nobody waits for the disk: what a
 * crash takes, the host's next heartbeat says again, and whoever acts on it commits after it.
 * @returns whether it did
 */
export async function storeAck(
  db: Kysely<RouterTables>,
  ack: { hostId: HostId; environmentId: string; version: number; atMs: number },
): Promise<boolean> {
  const { rows } = await sql<{ host_id: string }>`
    insert into route_acks (host_id, environment_id, version, at_ms)
    select ${ack.hostId}, ${ack.environmentId}, ${ack.version}::int, ${ack.atMs}::float8
      from ${UNSYNCED}
    on conflict (host_id, environment_id) do update set version = excluded.version, at_ms = excluded.at_ms
      where route_acks.at_ms < excluded.at_ms and route_acks.version <> excluded.version
    returning host_id`.execute(db);
  return rows.length > 0;
}

export async function readAcks(db: Kysely<RouterTables>, hostId: HostId): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom("route_acks")
    .select(["environment_id", "version"])
    .where("host_id", "=", hostId)
    .execute();
  return new Map(rows.map((row) => [row.environment_id, row.version]));
}

/** Marks tables that every live host serves, with the fact in the same transaction. @returns those marked now */
export function acknowledgeTables(
  db: Kysely<RouterTables>,
): Promise<{ environmentId: EnvironmentId; version: number }[]> {
  return db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ environment_id: EnvironmentId; version: number }>`
      with live as (${LIVE_HOSTS})
      update route_tables t set acknowledged_version = t.version, acknowledged_at = now()
       where t.acknowledged_version < t.version
         and exists (select 1 from live)
         and not exists (
           select 1 from live left join route_acks a on a.host_id = live.id and a.environment_id = t.environment_id
            where coalesce(a.version, 0) < t.version)
      returning t.environment_id, t.version`.execute(trx);
    const marked = rows.map((row) => ({ environmentId: row.environment_id, version: row.version }));
    for (const fact of marked) await addToOutbox(trx, RouteAcknowledged, fact);
    return marked;
  });
}

/** Tables that some live host does not serve yet although they are older than `olderThanMs`. */
export async function readLagging(db: Kysely<RouterTables>, olderThanMs: number): Promise<RouteTable[]> {
  const { rows } = await sql<TableRow>`
    with live as (${LIVE_HOSTS})
    select t.environment_id as "environmentId", t.version, t.sites, t.proxies from route_tables t
     where t.changed_at < now() - make_interval(secs => ${olderThanMs / 1000})
       and exists (
         select 1 from live left join route_acks a on a.host_id = live.id and a.environment_id = t.environment_id
          where coalesce(a.version, 0) < t.version)
     order by t.changed_at limit 100`.execute(db);
  return rows.map(tableOf);
}
