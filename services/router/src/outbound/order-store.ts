/** Orders of certificates in PostgreSQL: who orders for which domain, what edges answer meanwhile, what came of it. */
import type { CertificateInfo } from "@berth/shared/contracts/certificate.ts";
import type { AcmeChallenge } from "@berth/shared/contracts/route.ts";
import type { CertificateId, OrgId } from "@berth/shared/domain/ids.ts";
import { type Kysely, sql } from "kysely";
import type { OrderableDomain, OrderRow } from "../core/plan-orders.ts";
import type { RouterTables } from "./tables.ts";

type Db = Kysely<RouterTables>;

/** Domains that their services were seen to own. */
export async function readOrderable(db: Db): Promise<OrderableDomain[]> {
  const { rows } = await sql<OrderableDomain>`
    select o.name, o.org_id as "orgId", o.service_id as "serviceId", s.environment_id as "environmentId"
      from api.domain_owners o
      join api.services s on s.id = o.service_id and s.deleted_at is null
     order by o.since, o.name`.execute(db);
  return rows;
}

export async function readOrders(db: Db): Promise<OrderRow[]> {
  const { rows } = await sql<OrderRow>`
    select name, (extract(epoch from next_try_at) * 1000)::float8 as "nextTryAtMs",
           (case when claimed_until = '-infinity' then 0 else extract(epoch from claimed_until) * 1000 end)::float8 as "claimedUntilMs"
      from acme_orders`.execute(db);
  return rows;
}

/** Org → orders that it began within the last hour. Forgets what is older. */
export async function countStarts(db: Db): Promise<Map<OrgId, number>> {
  await sql`delete from acme_starts where started_at <= now() - interval '1 hour'`.execute(db);
  const { rows } = await sql<{ orgId: OrgId; count: number }>`
    select org_id as "orgId", count(*)::int as count from acme_starts group by org_id`.execute(db);
  return new Map(rows.map(({ orgId, count }) => [orgId, count]));
}

/** @returns false when another router has it, or it is not due any more */
export async function claimOrder(db: Db, domain: OrderableDomain, forMs: number): Promise<boolean> {
  const { rows } = await sql`
    with claimed as (
    insert into acme_orders (name, service_id, environment_id, claimed_until)
    values (${domain.name}, ${domain.serviceId}, ${domain.environmentId}, now() + make_interval(secs => ${forMs / 1000}))
    on conflict (name) do update set service_id = excluded.service_id, environment_id = excluded.environment_id,
      claimed_until = excluded.claimed_until, challenge = null
      where acme_orders.claimed_until < now() and acme_orders.next_try_at <= now()
    returning name)
    insert into acme_starts (org_id) select ${domain.orgId} from claimed returning org_id`.execute(db);
  return rows.length > 0;
}

export async function writeChallenge(db: Db, name: string, challenge: AcmeChallenge | null): Promise<void> {
  const value = challenge === null ? null : JSON.stringify(challenge);
  await sql`update acme_orders set challenge = ${value}::jsonb where name = ${name}`.execute(db);
}

/** Whether every live edge was seen to answer the challenge. */
export async function isAnswered(db: Db, domain: OrderableDomain, token: string): Promise<boolean> {
  const { rows } = await sql`
    select 1 from route_tables t, jsonb_array_elements(t.sites) site
     where t.environment_id = ${domain.environmentId} and t.acknowledged_version = t.version
       and site ->> 'hostname' = ${domain.name} and site #>> '{challenge,token}' = ${token}`.execute(db);
  return rows.length > 0;
}

/** Keeps what came, and lets go of what it replaces. */
export function storeOrdered(
  db: Db,
  { name, serviceId, environmentId }: OrderableDomain,
  id: CertificateId,
  info: CertificateInfo,
): Promise<void> {
  return db.transaction().execute(async (trx) => {
    await sql`
      update certificates set removed_at = now()
       where source = 'acme' and service_id = ${serviceId} and removed_at is null and info -> 'names' ? ${name}`.execute(
      trx,
    );
    await sql`
      insert into certificates (id, source, environment_id, service_id, info)
      values (${id}, 'acme', ${environmentId}, ${serviceId}, ${JSON.stringify(info)}::jsonb)`.execute(trx);
    await sql`
      update acme_orders set failures = 0, next_try_at = now(), claimed_until = '-infinity', challenge = null, last_error = null
       where name = ${name}`.execute(trx);
  });
}

/** @param retryAfterMs of the failures in a row, this one included @returns that number */
export async function storeFailure(
  db: Db,
  name: string,
  error: string,
  retryAfterMs: (failures: number) => number,
): Promise<number> {
  const { rows } = await sql<{ failures: number }>`
    update acme_orders set failures = failures + 1, challenge = null, last_error = ${error.slice(0, 500)}
     where name = ${name} returning failures`.execute(db);
  const failures = rows[0]?.failures ?? 1;
  await sql`
    update acme_orders set claimed_until = '-infinity',
           next_try_at = now() + make_interval(secs => ${retryAfterMs(failures) / 1000})
     where name = ${name}`.execute(db);
  return failures;
}

/** Certificates of domains that their services let go of. */
export async function removeOrphans(db: Db): Promise<void> {
  await sql`
    update certificates c set removed_at = now()
     where c.source = 'acme' and c.removed_at is null and not exists (
       select 1 from api.domain_owners o where o.service_id = c.service_id and c.info -> 'names' ? o.name)`.execute(
    db,
  );
}
