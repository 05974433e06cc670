/** A beginning deploy's plan in words, from what is stored in the same transaction. */
import type { ServiceId } from "@berth/shared/domain/ids.ts";
import { ServicePolicy } from "@berth/shared/domain/service-policy.ts";
import type { Transaction } from "kysely";
import { sql } from "kysely";
import { describePlan } from "../core/describe-plan.ts";
import type { ProcessWish, ReleaseView } from "../core/views.ts";
import type { Tables } from "./tables.ts";

export async function planInWords(
  trx: Transaction<Tables>,
  serviceId: ServiceId,
  release: ReleaseView,
): Promise<string> {
  const found = await sql<{ policy: unknown; serving: number | null; wishes: ProcessWish[] | null }>`
    select s.policy,
           (select r.version from serving v join api.releases r on r.id = v.release_id where v.service_id = s.id) as serving,
           (select jsonb_agg(jsonb_build_object('process', p.process, 'scale', p.scale))
              from wishes p where p.service_id = s.id) as wishes
      from api.services s where s.id = ${serviceId}`.execute(trx);
  const row = found.rows[0];
  if (row === undefined) throw new Error(`service ${serviceId} is not stored`);
  const { version, processes, rollouts } = release;
  const { singleWriter } = ServicePolicy.parse(row.policy);
  return describePlan({
    version,
    processes,
    rollouts,
    singleWriter,
    servingVersion: row.serving,
    wishes: row.wishes ?? [],
  });
}
