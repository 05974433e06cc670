/** Claims of domains, and who has each name. Judged and written under one lock: two orgs never get one name. */
import type { Domain, DomainSettings } from "@berth/shared/contracts/http/domains.ts";
import { baseOf, proofName, proofValue, wildcardOf } from "@berth/shared/domain/domain-name.ts";
import { sql } from "kysely";
import {
  type DomainClaim,
  type DomainJudgement,
  type DomainOwner,
  judgeDomain,
} from "../core/judge-domain.ts";
import type { Db, Trx } from "./tables.ts";

const DOMAINS_LOCK = 7_420_013;

interface DomainRow {
  readonly name: string;
  readonly service: string;
  readonly token: string;
  readonly verified: boolean;
  readonly routed: boolean;
  readonly certificate: Domain["certificate"];
  readonly problem: string | null;
  readonly failing_since: Date | null;
  readonly failure: string | null;
  readonly https_only: boolean;
  readonly hsts_seconds: number | null;
  readonly created_at: Date;
}

const DOMAIN = sql`
  select d.name, s.name as service, d.token, d.created_at, d.https_only, d.hsts_seconds, o.name is not null as verified,
         o.name is not null and served.site is not null as routed, served.site #>> '{tls,certificateId}' as certificate,
         a.last_error as problem, o.failing_since, o.failure
    from api.domains d
    join api.services s on s.id = d.service_id and s.deleted_at is null
    left join api.domain_owners o on o.name = d.name and o.service_id = d.service_id
    left join router.acme_orders a on a.name = o.name and a.service_id = o.service_id
    left join lateral (
      select site from router.route_tables t, jsonb_array_elements(t.sites) site
       where t.environment_id = s.environment_id and t.acknowledged_version = t.version
         and site ->> 'hostname' = d.name and site ->> 'serviceId' = s.id) served on true`;

export async function readDomains(db: Db, environmentId: string): Promise<Domain[]> {
  const { rows } = await sql<DomainRow>`
    ${DOMAIN} where s.environment_id = ${environmentId} order by d.name, s.name limit 1000`.execute(db);
  return rows.map(toDomain);
}

export async function readDomain(db: Db, serviceId: string, name: string): Promise<Domain | undefined> {
  const { rows } = await sql<DomainRow>`
    ${DOMAIN} where d.service_id = ${serviceId} and d.name = ${name}`.execute(db);
  return rows[0] === undefined ? undefined : toDomain(rows[0]);
}

function toDomain(row: DomainRow): Domain {
  const { name, service, routed, certificate } = row;
  return {
    ...{ name, service, routed, certificate },
    state: row.verified ? "verified" : "pending",
    record: { name: proofName(name), value: proofValue(row.token) },
    orderProblem: row.problem,
    proofProblem:
      row.failing_since === null
        ? null
        : { text: row.failure ?? "its proof is missing", since: row.failing_since.toISOString() },
    httpsOnly: row.https_only,
    hstsSeconds: row.hsts_seconds,
    createdAt: row.created_at.toISOString(),
  };
}

interface DomainChange {
  readonly httpsOnly?: DomainSettings["httpsOnly"] | undefined;
  readonly hstsSeconds?: DomainSettings["hstsSeconds"] | undefined;
}

/** @returns false when the service has no such claim */
export async function writeDomainSettings(
  trx: Trx,
  serviceId: string,
  name: string,
  { httpsOnly, hstsSeconds }: DomainChange,
): Promise<boolean> {
  const { rows } = await sql`
    update api.domains set https_only = coalesce(${httpsOnly ?? null}, https_only),
           hsts_seconds = case when ${hstsSeconds === undefined} then hsts_seconds else ${hstsSeconds ?? null} end
     where service_id = ${serviceId} and name = ${name} returning name`.execute(trx);
  return rows.length > 0;
}

/** @returns `limit` when the org has as many as it may; a repeated claim keeps its token */
export async function addClaim(
  trx: Trx,
  claim: DomainClaim,
  token: string,
  mostPerOrg: number,
): Promise<"added" | "known" | "limit"> {
  await lockDomains(trx);
  const known = await sql`
    select 1 from api.domains where service_id = ${claim.serviceId} and name = ${claim.name}`.execute(trx);
  if (known.rows.length > 0) return "known";
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from api.domains where org_id = ${claim.orgId}`.execute(trx);
  if ((rows[0]?.count ?? 0) >= mostPerOrg) return "limit";
  await sql`
    insert into api.domains (service_id, name, org_id, token)
    values (${claim.serviceId}, ${claim.name}, ${claim.orgId}, ${token})`.execute(trx);
  return "added";
}

/** Gives the name to the service when it may have it. The caller has seen the proof. */
export async function takeDomain(
  trx: Trx,
  claim: DomainClaim,
  nowMs: number,
  quarantineMs: number,
): Promise<DomainJudgement> {
  await lockDomains(trx);
  const judgement = judgeDomain(claim, await readOwners(trx, claim.name), nowMs, quarantineMs);
  if (judgement.kind !== "free") return judgement;
  await sql`
    insert into api.domain_owners (name, org_id, service_id)
    values (${claim.name}, ${claim.orgId}, ${claim.serviceId})
    on conflict (name) do update set org_id = excluded.org_id, service_id = excluded.service_id,
      since = now(), released_at = null, checked_at = now(), failing_since = null, failure = null`.execute(
    trx,
  );
  return judgement;
}

/** All that may overlap: the name, the wildcard that covers it, and what it covers itself. */
async function readOwners(trx: Trx, name: string): Promise<DomainOwner[]> {
  const below = name === baseOf(name) ? null : baseOf(name);
  const { rows } = await sql<DomainOwner>`
    select name, org_id as "orgId", service_id as "serviceId",
           (extract(epoch from released_at) * 1000)::float8 as "releasedAtMs"
      from api.domain_owners
     where name in (${name}, ${wildcardOf(name)}) or substr(name, strpos(name, '.') + 1) = ${below}`.execute(
    trx,
  );
  return rows;
}

/** @returns false when the service has no such claim */
export async function releaseDomain(trx: Trx, serviceId: string, name: string): Promise<boolean> {
  await lockDomains(trx);
  await sql`
    update api.domain_owners set service_id = null, released_at = now()
     where service_id = ${serviceId} and name = ${name}`.execute(trx);
  const { rows } = await sql`
    delete from api.domains where service_id = ${serviceId} and name = ${name} returning name`.execute(trx);
  return rows.length > 0;
}

/** Of a service that is removed. */
export async function releaseDomains(trx: Trx, serviceId: string): Promise<void> {
  await lockDomains(trx);
  await sql`
    update api.domain_owners set service_id = null, released_at = now() where service_id = ${serviceId}`.execute(
    trx,
  );
  await sql`delete from api.domains where service_id = ${serviceId}`.execute(trx);
}

export async function lockDomains(trx: Trx): Promise<void> {
  await sql`select pg_advisory_xact_lock(${DOMAINS_LOCK})`.execute(trx);
}
