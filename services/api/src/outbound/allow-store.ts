/** Allow-lists as stored, and whether every live edge holds to them: the router's tables say so. */
import type { RouteSite } from "@berth/shared/contracts/route.ts";
import { sql } from "kysely";
import type { Reply } from "../inbound/http/routes.ts";
import type { Db, Trx } from "./tables.ts";

type Sources = readonly string[] | null;

/** @param target an environment's or a service's id */
export async function writeAllow(trx: Trx, target: string, sources: Sources): Promise<void> {
  if (sources === null) {
    await sql`delete from api.allow_lists where target = ${target}`.execute(trx);
    return;
  }
  await sql`
    insert into api.allow_lists (target, cidrs) values (${target}, ${JSON.stringify(sources)}::jsonb)
    on conflict (target) do update set cidrs = excluded.cidrs, changed_at = now()`.execute(trx);
}

export async function readAllow(db: Db, environmentId: string): Promise<Reply<"showAllow">> {
  const own = await sql<{ cidrs: string[] }>`
    select cidrs from api.allow_lists where target = ${environmentId}`.execute(db);
  const services = await sql<{ id: string; service: string; cidrs: string[] | null }>`
    select s.id, s.name as service, l.cidrs from api.services s left join api.allow_lists l on l.target = s.id
     where s.environment_id = ${environmentId} and s.deleted_at is null order by s.name`.execute(db);
  const sources = own.rows[0]?.cidrs ?? null;
  const wanted = new Map(services.rows.map(({ id, cidrs }) => [id, cidrs ?? sources]));
  const edges = await readEdges(db, environmentId);
  return {
    sources,
    services: services.rows.flatMap(({ service, cidrs }) =>
      cidrs === null ? [] : [{ service, sources: cidrs }],
    ),
    enforced: isTold(edges.sites, wanted) && edges.waitingFor.length === 0,
    waitingFor: edges.waitingFor,
  };
}

/** Whether the newest route table says what is wanted. One that is not made yet says nothing. */
function isTold(sites: readonly RouteSite[], wanted: ReadonlyMap<string, Sources>): boolean {
  const told = new Map<string, Sources>(sites.map(({ serviceId, allow }) => [serviceId, allow ?? null]));
  return [...wanted].every(([id, sources]) => {
    const has = told.get(id);
    return has !== undefined && JSON.stringify(has) === JSON.stringify(sources);
  });
}

/** The environment's newest route table, and the live hosts whose edge is not seen to serve it. */
async function readEdges(
  db: Db,
  environmentId: string,
): Promise<{ readonly sites: readonly RouteSite[]; readonly waitingFor: string[] }> {
  const table = await sql<{ sites: RouteSite[] }>`
    select sites from router.route_tables where environment_id = ${environmentId}`.execute(db);
  const behind = await sql<{ name: string }>`
    select h.name from router.route_tables t
      cross join api.hosts h
      join scheduler.hosts_seen s on s.host_id = h.id and s.state <> 'lost'
      left join router.route_acks a on a.host_id = h.id and a.environment_id = t.environment_id
     where t.environment_id = ${environmentId} and h.removed_at is null and coalesce(a.version, 0) < t.version
     order by h.name`.execute(db);
  return { sites: table.rows[0]?.sites ?? [], waitingFor: behind.rows.map(({ name }) => name) };
}
