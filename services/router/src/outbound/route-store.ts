/**
 * Route tables and their acknowledgements in PostgreSQL.
 *
 * A host counts as live while the scheduler does not call it lost: one place decides that. The tables are made
 * and stored in one transaction under a lock, so two routers can run without a version being given twice.
 */
import type { CertificateInfo } from "@berth/shared/contracts/certificate.ts";
import type { RouteProxy, RouteSite, RouteTable } from "@berth/shared/contracts/route.ts";
import { RouteAcknowledged } from "@berth/shared/contracts/route.ts";
import type { Deferred } from "@berth/shared/domain/growth-rest.ts";
import { HttpOptions } from "@berth/shared/domain/http-options.ts";
import type { EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";
import { UNSYNCED } from "@berth/shared/kit/database.ts";
import { addToOutbox } from "@berth/shared/kit/outbox.ts";
import { type Kysely, type RawBuilder, sql, type Transaction } from "kysely";
import type { CertificateRow } from "../core/choose-certificate.ts";
import { deferGrowth, type ToldTable } from "../core/defer-growth.ts";
import { type BackendRow, planTables, type ServiceRow } from "../core/plan-tables.ts";
import { readProxies } from "./proxy-store.ts";
import type { RouterTables } from "./tables.ts";

const TABLES_LOCK = 7_420_010;

export const LIVE_HOSTS = sql`
  select h.id from api.hosts h join scheduler.hosts_seen s on s.host_id = h.id
   where h.removed_at is null and s.state <> 'lost'`;

/**
 * Makes tables from what is stored and keeps those that changed and do not wait for more.
 * @param only of these environments; null: of all
 */
export async function storeTables(
  db: Kysely<RouterTables>,
  podDomain: string,
  only: readonly string[] | null = null,
): Promise<Deferred<RouteTable>> {
  if (only?.length === 0) return { now: [], waiting: [], againInMs: null };
  return db.transaction().execute(async (trx) => {
    await sql`select pg_advisory_xact_lock(${TABLES_LOCK})`.execute(trx);
    const { services, backends } = await readWorld(trx, only);
    const certificates = await readCertificates(trx);
    const proxies = await readProxies(trx, LIVE_HOSTS);
    const stored = await readTold(trx, isOneOf("environment_id", only));
    const changed = planTables({
      ...{ services, backends, proxies, certificates, stored, podDomain, nowMs: Date.now() },
    });
    const deferred = deferGrowth(changed, stored);
    for (const table of deferred.now) {
      const row = {
        environment_id: table.environmentId,
        version: table.version,
        sites: JSON.stringify(table.sites),
        proxies: JSON.stringify(table.proxies ?? []),
      };
      const { version, sites, proxies: told } = row;
      const update = { version, sites, proxies: told, changed_at: sql<Date>`now()` };
      await trx
        .insertInto("route_tables")
        .values(row)
        .onConflict((oc) => oc.column("environment_id").doUpdateSet(update))
        .execute();
    }
    return deferred;
  });
}

/**
 * Ready; or, while its service wakes, started and without a health path: then that it listens is all there is to wait
 * for, and activators try that themselves.
 */
const MAY_BE_ASKED = sql`(j.ready and j.state = 'running'
  or z.service_id is not null and j.state = 'starting' and j.spec->'readiness'->>'httpPath' is null)`;

/** Services and their backends as one statement: one snapshot, so a site never loses its jobs to a race. */
async function readWorld(
  trx: Transaction<RouterTables>,
  only: readonly string[] | null,
): Promise<{ services: ServiceRow[]; backends: BackendRow[] }> {
  interface Row {
    environment_id: ServiceRow["environmentId"];
    service_id: ServiceRow["serviceId"];
    hostname_label: string;
    allow: string[] | null;
    sleep_epoch: number | null;
    maintenance: boolean;
    domains: ServiceRow["domains"];
    http: unknown;
    job_id: BackendRow["jobId"] | null;
    address: string | null;
    port: number | null;
  }
  const { rows } = await sql<Row>`
    select s.environment_id, s.id as service_id, s.hostname_label, coalesce(own.cidrs, whole.cidrs) as allow,
           z.epoch as sleep_epoch, s.maintenance_since is not null as maintenance, s.http,
           coalesce((
             select jsonb_agg(jsonb_build_object('name', d.name, 'httpsOnly', d.https_only, 'hstsSeconds', d.hsts_seconds, 'challenge', a.challenge) order by d.name)
               from api.domain_owners o join api.domains d on d.name = o.name and d.service_id = o.service_id
               left join acme_orders a on a.name = d.name and a.service_id = d.service_id
              where o.service_id = s.id), '[]') as domains, j.id as job_id, j.address, j.port
      from api.services s
      join api.environments e on e.id = s.environment_id and e.deleted_at is null
      left join api.allow_lists own on own.target = s.id
      left join api.allow_lists whole on whole.target = e.id
      left join scheduler.sleeps z on z.service_id = s.id and z.state <> 'awake'
      left join scheduler.jobs j
        on j.service_id = s.id and j.process = 'web' and j.rotation = 'in' and j.desired = 'run' and j.sleep_level is null
       and j.address is not null and j.port is not null and ${MAY_BE_ASKED}
     where s.deleted_at is null and ${isOneOf("s.environment_id", only)}`.execute(trx);
  const services = new Map<string, ServiceRow>();
  const backends: BackendRow[] = [];
  for (const row of rows) {
    const serviceId = row.service_id;
    services.set(serviceId, {
      environmentId: row.environment_id,
      serviceId,
      hostnameLabel: row.hostname_label,
      allow: row.allow,
      sleepEpoch: row.sleep_epoch,
      maintenance: row.maintenance,
      domains: row.domains,
      // One row that a later version would refuse must not stop the tables of all others.
      http: HttpOptions.catch({}).parse(row.http),
    });
    if (row.job_id === null || row.address === null || row.port === null) continue;
    backends.push({ serviceId, jobId: row.job_id, address: row.address, port: row.port });
  }
  return { services: [...services.values()], backends };
}

/** Those of customers, and the pod's own. */
export async function readCertificates(trx: Kysely<RouterTables>): Promise<CertificateRow[]> {
  type Row = Pick<CertificateRow, "id" | "environmentId" | "serviceId" | "isOrdered"> & {
    readonly info: CertificateInfo;
  };
  const { rows } = await sql<Row>`
    select id, environment_id as "environmentId", service_id as "serviceId", false as "isOrdered", info from api.certificates where removed_at is null
    union all
    select id, environment_id, service_id, source = 'acme', info from certificates where removed_at is null`.execute(
    trx,
  );
  return rows.map(({ info: { names, notBeforeMs, notAfterMs }, ...row }) => ({
    ...row,
    ...{ names, notBeforeMs, notAfterMs },
  }));
}

export async function readVersions(db: Kysely<RouterTables>): Promise<Record<string, number>> {
  const rows = await db.selectFrom("route_tables").select(["environment_id", "version"]).execute();
  return Object.fromEntries(rows.map((row) => [row.environment_id, row.version]));
}

/** @param only of these environments */
export async function readTables(db: Kysely<RouterTables>, only: readonly string[]): Promise<RouteTable[]> {
  const told = await readTold(db, isOneOf("environment_id", only));
  return told.map(({ ageMs, ...table }) => table);
}

function isOneOf(column: string, only: readonly string[] | null): RawBuilder<unknown> {
  return only === null ? sql`true` : sql`${sql.ref(column)} = any(${[...only]})`;
}

async function readTold(
  db: Kysely<RouterTables>,
  where: RawBuilder<unknown>,
): Promise<(ToldTable & RouteTable)[]> {
  interface Row {
    environment_id: EnvironmentId;
    version: number;
    sites: RouteSite[];
    proxies: RouteProxy[];
    age_ms: number;
  }
  const { rows } = await sql<Row>`
    select environment_id, version, sites, proxies, (extract(epoch from clock_timestamp() - changed_at) * 1000)::float8 as age_ms
      from route_tables where ${where} order by environment_id`.execute(db);
  return rows.map((row) => ({ ...tableOf(row), ageMs: row.age_ms }));
}

function tableOf(row: {
  readonly environment_id: EnvironmentId;
  readonly version: number;
  readonly sites: RouteSite[];
  readonly proxies: RouteProxy[];
}): RouteTable {
  const { environment_id: environmentId, version, sites, proxies } = row;
  return { environmentId, version, sites, ...(proxies.length === 0 ? {} : { proxies }) };
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
  const { rows } = await sql<{
    environment_id: EnvironmentId;
    version: number;
    sites: RouteSite[];
    proxies: RouteProxy[];
  }>`
    with live as (${LIVE_HOSTS})
    select t.environment_id, t.version, t.sites, t.proxies from route_tables t
     where t.changed_at < now() - make_interval(secs => ${olderThanMs / 1000})
       and exists (
         select 1 from live left join route_acks a on a.host_id = live.id and a.environment_id = t.environment_id
          where coalesce(a.version, 0) < t.version)
     order by t.changed_at limit 100`.execute(db);
  return rows.map(tableOf);
}
