/** Egress policies as stored; no row is the open one. */
import { EgressPolicy, OPEN_EGRESS } from "@berth/shared/domain/egress-policy.ts";
import { sql } from "kysely";
import type { Db, Trx } from "./tables.ts";

export async function readEgress(db: Db, environmentId: string): Promise<EgressPolicy> {
  const { rows } = await sql<EgressPolicy>`
    select mode, rules from api.egress_policies where environment_id = ${environmentId}`.execute(db);
  return rows[0] === undefined ? OPEN_EGRESS : EgressPolicy.parse(rows[0]);
}

export async function writeEgress(trx: Trx, environmentId: string, policy: EgressPolicy): Promise<void> {
  await sql`
    insert into api.egress_policies (environment_id, mode, rules)
    values (${environmentId}, ${policy.mode}, ${JSON.stringify(policy.rules)}::jsonb)
    on conflict (environment_id) do update set mode = excluded.mode, rules = excluded.rules, changed_at = now()`.execute(
    trx,
  );
}
