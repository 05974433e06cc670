/** Which served domains' proofs are due, and what a look said of them. */
import { sql } from "kysely";
import type { ProofJudgement } from "../core/judge-proof.ts";
import { lockDomains } from "./domain-store.ts";
import type { Db, Trx } from "./tables.ts";

export interface DueProof {
  readonly name: string;
  readonly serviceId: string;
  readonly orgId: string;
  readonly token: string;
  readonly failingSinceMs: number | null;
}

export interface ProofTimes {
  readonly everyMs: number;
  /** While it is missing. */
  readonly againMs: number;
}

/** Takes them for this process: who else asks now gets others. */
export async function takeDueProofs(db: Db, times: ProofTimes, most: number): Promise<DueProof[]> {
  const { rows } = await sql<DueProof>`
    with due as (
      select o.name from api.domain_owners o
       where o.service_id is not null and o.checked_at < now() - make_interval(secs =>
             case when o.failing_since is null then ${times.everyMs / 1000} else ${times.againMs / 1000} end::float8)
       order by o.checked_at limit ${most} for update skip locked)
    update api.domain_owners o set checked_at = now() from due, api.domains d
     where o.name = due.name and d.name = o.name and d.service_id = o.service_id
    returning o.name, o.service_id as "serviceId", o.org_id as "orgId", d.token,
              (extract(epoch from o.failing_since) * 1000)::float8 as "failingSinceMs"`.execute(db);
  return rows;
}

/** Unknown is not kept as a word: it is asked again in the time of one that fails. */
export async function storeProof(
  db: Db,
  due: DueProof,
  judgement: ProofJudgement,
  times: ProofTimes,
): Promise<void> {
  const of = sql`name = ${due.name} and service_id = ${due.serviceId}`;
  if (judgement.kind === "proved")
    await sql`update api.domain_owners set failing_since = null, failure = null where ${of}`.execute(db);
  else if (judgement.kind === "unknown")
    await sql`
      update api.domain_owners set checked_at = now() - make_interval(secs => ${Math.max(0, times.everyMs - times.againMs) / 1000})
       where ${of} and failing_since is null`.execute(db);
  else
    await sql`
      update api.domain_owners set failing_since = to_timestamp(${judgement.sinceMs / 1000}), failure = ${judgement.text}
       where ${of}`.execute(db);
}

/** The claim stays, to be proved anew; others may take the name after its quarantine. @returns false when it was released meanwhile */
export async function loseDomain(trx: Trx, { name, serviceId }: DueProof): Promise<boolean> {
  await lockDomains(trx);
  const { rows } = await sql`
    update api.domain_owners set service_id = null, released_at = now(), failing_since = null, failure = null
     where name = ${name} and service_id = ${serviceId} returning name`.execute(trx);
  return rows.length > 0;
}
