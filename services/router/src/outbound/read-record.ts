/**
 * All that route tables are made from, and the tables as they were told last, as of one instant: one question, because each
 * way to the record and back is a part of the time that a change takes to the edges.
 */
import type { CertificateInfo } from "@berth/shared/contracts/certificate.ts";
import type { RouteProxy, RouteSite, RouteTable } from "@berth/shared/contracts/route.ts";
import { HttpOptions } from "@berth/shared/domain/http-options.ts";
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { listed, PREPARED } from "@berth/shared/kit/database.ts";
import { type Kysely, type RawBuilder, sql } from "kysely";
import type { CertificateRow } from "../core/choose-certificate.ts";
import type { ToldTable } from "../core/defer-growth.ts";
import type { BackendRow, ProxyRow, ServiceRow } from "../core/plan-tables.ts";
import type { RouterTables } from "./tables.ts";

export const LIVE_HOSTS = sql`
  select h.id from api.hosts h join scheduler.hosts_seen s on s.host_id = h.id
   where h.removed_at is null and s.state <> 'lost'`;

export interface RouterRecord {
  readonly services: readonly ServiceRow[];
  readonly backends: readonly BackendRow[];
  readonly proxies: readonly ProxyRow[];
  readonly certificates: readonly CertificateRow[];
  readonly stored: readonly (ToldTable & RouteTable)[];
}

/** Of these environments; null: of all. Either is a statement of its own, with the plan that is best for it. */
type Only = readonly string[] | null;

export async function readRecord(db: Kysely<RouterTables>, only: Only): Promise<RouterRecord> {
  const { rows } = await sql<ReadRow>`${PREPARED}
    select ${listed(servicesOf(only))} as services, ${listed(proxiesOf(only))} as proxies,
           ${listed(certificatesOf(only))} as certificates, ${listed(toldOf(only))} as stored`.execute(db);
  const { services, proxies, certificates, stored } = rows[0] as ReadRow;
  return {
    ...withBackends(services),
    proxies,
    certificates: certificates.map(withTimes),
    stored: stored.map((row) => ({ ...tableOf(row), ageMs: row.ageMs })),
  };
}

interface ReadRow {
  readonly services: readonly ServiceJobRow[];
  readonly proxies: readonly ProxyRow[];
  readonly certificates: readonly CertificateInfoRow[];
  readonly stored: readonly (TableRow & Pick<ToldTable, "ageMs">)[];
}

function isOneOf(column: string, only: Only): RawBuilder<unknown> {
  return only === null ? sql`true` : sql`${sql.ref(column)} = any(${[...only]}::text[])`;
}

/** A service, and one of its backends or none. */
interface ServiceJobRow extends Omit<ServiceRow, "http"> {
  readonly http: unknown;
  readonly jobId: BackendRow["jobId"] | null;
  readonly address: string | null;
  readonly port: number | null;
}

/**
 * Ready; or, while its service wakes, started and without a health path: then that it listens is all there is to wait
 * for, and activators try that themselves.
 */
const MAY_BE_ASKED = sql`(j.ready and j.state = 'running'
  or z.service_id is not null and j.state = 'starting' and j.spec->'readiness'->>'httpPath' is null)`;

const servicesOf = (only: Only) => sql<ServiceJobRow>`
  select s.environment_id as "environmentId", s.id as "serviceId", s.hostname_label as "hostnameLabel",
         coalesce(own.cidrs, whole.cidrs) as allow, z.epoch as "sleepEpoch", s.maintenance_since is not null as maintenance, s.http,
         coalesce((
           select jsonb_agg(jsonb_build_object('name', d.name, 'httpsOnly', d.https_only, 'hstsSeconds', d.hsts_seconds, 'challenge', a.challenge) order by d.name)
             from api.domain_owners o join api.domains d on d.name = o.name and d.service_id = o.service_id
             left join acme_orders a on a.name = d.name and a.service_id = d.service_id
            where o.service_id = s.id), '[]') as domains, j.id as "jobId", j.address, j.port
    from api.services s
    join api.environments e on e.id = s.environment_id and e.deleted_at is null
    left join api.allow_lists own on own.target = s.id
    left join api.allow_lists whole on whole.target = e.id
    left join scheduler.sleeps z on z.service_id = s.id and z.state <> 'awake'
    left join scheduler.jobs j
      on j.service_id = s.id and j.process = 'web' and j.rotation = 'in' and j.desired = 'run' and j.sleep_level is null
     and j.address is not null and j.port is not null and ${MAY_BE_ASKED}
   where s.deleted_at is null and ${isOneOf("s.environment_id", only)}`;

function withBackends(rows: readonly ServiceJobRow[]): Pick<RouterRecord, "services" | "backends"> {
  const services = new Map<string, ServiceRow>();
  const backends: BackendRow[] = [];
  for (const { jobId, address, port, ...service } of rows) {
    const { serviceId } = service;
    // One row that a later version would refuse must not stop the tables of all others.
    services.set(serviceId, { ...service, http: HttpOptions.catch({}).parse(service.http) });
    if (jobId !== null && address !== null && port !== null)
      backends.push({ serviceId, jobId, address, port });
  }
  return { services: [...services.values()], backends };
}

/**
 * Those of live hosts, at an address of the host's own part of the environment's network: no host can draw an
 * environment's traffic that it is not in.
 */
const proxiesOf = (only: Only) => sql<ProxyRow>`
  select p.environment_id as "environmentId", p.host_id as "hostId", host(p.address) as address, p.port, p.names
    from environment_proxies p
    join network.members m on m.environment_id = p.environment_id and m.host_id = p.host_id
     and m.left_at is null and p.address << m.slice
   where p.host_id in (${LIVE_HOSTS}) and ${isOneOf("p.environment_id", only)}`;

type CertificateInfoRow = Pick<CertificateRow, "id" | "environmentId" | "serviceId" | "isOrdered"> & {
  readonly info: CertificateInfo;
};

/** Those of customers, and the pod's own. */
const certificatesOf = (only: Only) => sql<CertificateInfoRow>`
  select id, environment_id as "environmentId", service_id as "serviceId", false as "isOrdered", info
    from api.certificates where removed_at is null and ${isOneOf("environment_id", only)}
  union all
  select id, environment_id, service_id, source = 'acme', info from certificates
   where removed_at is null and (environment_id is null or ${isOneOf("environment_id", only)})`;

export async function readCertificates(db: Kysely<RouterTables>): Promise<CertificateRow[]> {
  return (await certificatesOf(null).execute(db)).rows.map(withTimes);
}

function withTimes({ info: { names, notBeforeMs, notAfterMs }, ...row }: CertificateInfoRow): CertificateRow {
  return { ...row, ...{ names, notBeforeMs, notAfterMs } };
}

export interface TableRow {
  readonly environmentId: EnvironmentId;
  readonly version: number;
  readonly sites: RouteSite[];
  readonly proxies: RouteProxy[];
}

const toldOf = (only: Only) => sql<TableRow & Pick<ToldTable, "ageMs">>`
  select environment_id as "environmentId", version, sites, proxies,
         (extract(epoch from clock_timestamp() - changed_at) * 1000)::float8 as "ageMs"
    from route_tables where ${isOneOf("environment_id", only)}`;

export function tableOf({ environmentId, version, sites, proxies }: TableRow): RouteTable {
  return { environmentId, version, sites, ...(proxies.length === 0 ? {} : { proxies }) };
}

/** @param only of these environments */
export async function readTables(db: Kysely<RouterTables>, only: readonly string[]): Promise<RouteTable[]> {
  return (await toldOf(only).execute(db)).rows.map(tableOf);
}
