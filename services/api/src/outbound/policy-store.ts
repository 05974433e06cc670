/** A service's policy as stored: the fields that were ever set; the rest has the contract's defaults. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { ServicePolicy } from "@berth/shared/domain/service-policy.ts";
import { sql } from "kysely";
import type { Reply } from "../inbound/http/routes.ts";
import type { Db, Trx } from "./tables.ts";

type Shown = Reply<"showServicePolicy">["policy"];

/** @returns undefined when the service was removed */
export async function readPolicy(db: Db | Trx, serviceId: string): Promise<ServicePolicy | undefined> {
  const row = await db
    .selectFrom("services")
    .select("policy")
    .where("id", "=", serviceId)
    .where("deleted_at", "is", null)
    .executeTakeFirst();
  return row === undefined ? undefined : ServicePolicy.parse(row.policy);
}

export async function writePolicy(trx: Trx, serviceId: string, policy: ServicePolicy): Promise<void> {
  await trx
    .updateTable("services")
    .set({ policy: JSON.stringify(policy) })
    .where("id", "=", serviceId)
    .execute();
}

export async function toShown(db: Db | Trx, policy: ServicePolicy): Promise<Shown> {
  const { nearServiceId, ...rest } = policy;
  if (nearServiceId === null) return { ...rest, near: null };
  const near = await db
    .selectFrom("services")
    .select("name")
    .where("id", "=", nearServiceId)
    .where("deleted_at", "is", null)
    .executeTakeFirst();
  return { ...rest, near: near?.name ?? null };
}

/** @throws BerthError `not-found` when the environment has no service of that name */
export async function findNear(trx: Trx, environmentId: string, name: string): Promise<string> {
  const found = await sql<{ id: string }>`
    select id from api.services where environment_id = ${environmentId} and name = ${name} and deleted_at is null`.execute(
    trx,
  );
  const id = found.rows[0]?.id;
  if (id === undefined)
    throw new BerthError("not-found", `near: there is no service ${name} in this environment`);
  return id;
}
