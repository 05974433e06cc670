/**
 * What environments offer to each other and accept of each other.
 *
 * Names are looked up when they are said, and only the id counts from then on. Whether a name of another org means
 * anything is told to nobody: such a link waits, like one that the other side has not agreed to.
 */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { linkHostname } from "@berth/shared/domain/link-name.ts";
import { sql } from "kysely";
import type { Body, Reply } from "../inbound/http/routes.ts";
import type { Db, Trx } from "./tables.ts";

export type Offer = Body<"offerLink">;
export type Accepted = Body<"acceptLink">;

const MOST_LINKS = 100;

export async function readLinks(db: Db, environmentId: string): Promise<Reply<"listLinks">> {
  const offers = await sql<
    Omit<Offer, "to"> & { org: string; environment: string; standing: boolean; at: Date }
  >`
    select s.name as service, o.port, o.to_org as org, o.to_environment as environment, o.said_at as at,
           exists (select 1 from api.links l where l.service_id = o.service_id and l.port = o.port
                    and l.consumer_id = o.to_environment_id) as standing
      from api.link_offers o join api.services s on s.id = o.service_id and s.deleted_at is null
     where s.environment_id = ${environmentId}
     order by s.name, o.port, o.to_org, o.to_environment`.execute(db);
  const accepted = await sql<Accepted & { standing: boolean; at: Date }>`
    select a.from_org as org, a.from_environment as environment, a.from_service as service, a.port, a.said_at as at,
           exists (select 1 from api.links l where l.service_id = a.from_service_id and l.port = a.port
                    and l.consumer_id = a.environment_id) as standing
      from api.link_accepts a where a.environment_id = ${environmentId}
     order by a.from_org, a.from_environment, a.from_service, a.port`.execute(db);
  return {
    offers: offers.rows.map(({ org, environment, standing, at, ...offer }) => ({
      ...offer,
      ...{ to: { org, environment }, state: stateOf(standing), since: at.toISOString() },
    })),
    accepted: accepted.rows.map(({ standing, at, ...link }) => ({
      ...link,
      ...{ hostname: linkHostname(link), state: stateOf(standing), since: at.toISOString() },
    })),
  };
}

function stateOf(standing: boolean): "standing" | "waiting" {
  return standing ? "standing" : "waiting";
}

/** @throws BerthError `limit-reached` */
export async function writeOffer(trx: Trx, serviceId: string, { port, to }: Offer): Promise<void> {
  await sql`
    insert into api.link_offers (service_id, port, to_org, to_environment, to_environment_id)
    values (${serviceId}, ${port}, ${to.org}, ${to.environment},
            (select e.id from api.environments e join api.orgs g on g.id = e.org_id
              where g.name = ${to.org} and e.name = ${to.environment} and e.deleted_at is null))
    on conflict (service_id, port, to_org, to_environment)
      do update set to_environment_id = excluded.to_environment_id, said_at = now()`.execute(trx);
  await refuseTooMany(trx, sql`select 1 from api.link_offers where service_id = ${serviceId}`);
}

/** @returns the environment that uses the link, null while it does not stand */
export async function consumerOf(trx: Trx, serviceId: string, { port, to }: Offer): Promise<string | null> {
  const { rows } = await sql<{ id: string }>`
    select l.consumer_id as id from api.links l join api.link_offers o on o.to_environment_id = l.consumer_id
     where o.service_id = ${serviceId} and o.port = ${port} and o.to_org = ${to.org}
       and o.to_environment = ${to.environment} and l.service_id = ${serviceId} and l.port = ${port}`.execute(
    trx,
  );
  return rows[0]?.id ?? null;
}

/** @returns whether it was there */
export async function removeOffer(trx: Trx, serviceId: string, { port, to }: Offer): Promise<boolean> {
  const { rows } = await sql`
    delete from api.link_offers where service_id = ${serviceId} and port = ${port} and to_org = ${to.org}
       and to_environment = ${to.environment} returning 1`.execute(trx);
  return rows.length > 0;
}

/** @throws BerthError `limit-reached` */
export async function writeAccept(
  trx: Trx,
  environmentId: string,
  { org, environment, service, port }: Accepted,
): Promise<"standing" | "waiting"> {
  const { rows } = await sql<{ from_service_id: string | null }>`
    insert into api.link_accepts (environment_id, from_org, from_environment, from_service, port, from_service_id)
    values (${environmentId}, ${org}, ${environment}, ${service}, ${port},
            (select s.id from api.services s
               join api.environments e on e.id = s.environment_id and e.deleted_at is null
               join api.orgs g on g.id = e.org_id
              where g.name = ${org} and e.name = ${environment} and s.name = ${service} and s.deleted_at is null))
    on conflict (environment_id, from_org, from_environment, from_service, port)
      do update set from_service_id = excluded.from_service_id, said_at = now()
    returning from_service_id`.execute(trx);
  await refuseTooMany(trx, sql`select 1 from api.link_accepts where environment_id = ${environmentId}`);
  const standing = await sql`
    select 1 from api.links where consumer_id = ${environmentId} and service_id = ${rows[0]?.from_service_id ?? ""}
       and port = ${port}`.execute(trx);
  return stateOf(standing.rows.length > 0);
}

/** @returns whether it was there */
export async function removeAccept(
  trx: Trx,
  environmentId: string,
  { org, environment, service, port }: Accepted,
): Promise<boolean> {
  const { rows } = await sql`
    delete from api.link_accepts where environment_id = ${environmentId} and from_org = ${org}
       and from_environment = ${environment} and from_service = ${service} and port = ${port} returning 1`.execute(
    trx,
  );
  return rows.length > 0;
}

async function refuseTooMany(trx: Trx, all: ReturnType<typeof sql>): Promise<void> {
  const { rows } = await sql<{ count: number }>`select count(*)::int as count from (${all}) t`.execute(trx);
  if ((rows[0]?.count ?? 0) > MOST_LINKS)
    throw new BerthError("limit-reached", `at most ${MOST_LINKS} links: remove one that is not needed`);
}
