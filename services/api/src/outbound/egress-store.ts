/** Egress policies and gateways as stored; no row is the open one without a gateway. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { EgressPolicy, OPEN_EGRESS } from "@berth/shared/domain/egress-policy.ts";
import { sql } from "kysely";
import type { Body, Reply } from "../inbound/http/routes.ts";
import type { Db, Trx } from "./tables.ts";

type Shown = Reply<"showEgress">;
type Gateway = Shown["gateway"];

export async function readEgress(db: Db, environmentId: string): Promise<Shown> {
  const { rows } = await sql<EgressPolicy & { host: string | null; address: string | null }>`
    select p.mode, p.rules, h.name as host, p.gateway_address as address
      from api.egress_policies p left join api.hosts h on h.id = p.gateway_host_id
     where p.environment_id = ${environmentId}`.execute(db);
  const [row] = rows;
  if (row === undefined) return { policy: OPEN_EGRESS, gateway: null };
  const { mode, rules, host, address } = row;
  const gateway = host === null || address === null ? null : { host, address };
  return { policy: EgressPolicy.parse({ mode, rules }), gateway };
}

export async function writeEgress(trx: Trx, environmentId: string, policy: EgressPolicy): Promise<void> {
  await sql`
    insert into api.egress_policies (environment_id, mode, rules)
    values (${environmentId}, ${policy.mode}, ${JSON.stringify(policy.rules)}::jsonb)
    on conflict (environment_id) do update set mode = excluded.mode, rules = excluded.rules, changed_at = now()`.execute(
    trx,
  );
}

/** @throws BerthError `not-found` for an environment or host that is not there */
export async function writeGateway(
  trx: Trx,
  { org, environment, gateway }: Body<"changeEgressGateway">,
): Promise<{ readonly environmentId: string; readonly orgId: string; readonly gateway: Gateway }> {
  const found = await sql<{ id: string; org_id: string }>`
    select e.id, e.org_id from api.environments e join api.orgs g on g.id = e.org_id
     where g.name = ${org} and e.name = ${environment} and e.deleted_at is null`.execute(trx);
  const [row] = found.rows;
  if (row === undefined) throw new BerthError("not-found", `there is no environment ${org}/${environment}`);
  const host = gateway === null ? null : await findHost(trx, gateway.host);
  const address = host === null ? null : (gateway?.address ?? host.node_address);
  await sql`
    insert into api.egress_policies (environment_id, mode, gateway_host_id, gateway_address)
    values (${row.id}, 'open', ${host?.id ?? null}, ${address})
    on conflict (environment_id) do update set gateway_host_id = excluded.gateway_host_id,
      gateway_address = excluded.gateway_address, changed_at = now()`.execute(trx);
  const set = host === null || address === null ? null : { host: host.name, address };
  return { environmentId: row.id, orgId: row.org_id, gateway: set };
}

async function findHost(
  trx: Trx,
  name: string,
): Promise<{ readonly id: string; readonly name: string; readonly node_address: string }> {
  const host = await trx
    .selectFrom("hosts")
    .select(["id", "name", "node_address"])
    .where("name", "=", name)
    .where("removed_at", "is", null)
    .executeTakeFirst();
  if (host === undefined) throw new BerthError("not-found", `there is no host named ${name}`);
  return host;
}
