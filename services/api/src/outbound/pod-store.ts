/** Pods: their strategies, and what belongs to them. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { sql } from "kysely";
import type { Reply } from "../inbound/http/routes.ts";
import type { Db, Trx } from "./tables.ts";

type Pod = Reply<"createPod">;

export async function readPods(db: Db): Promise<Pod[]> {
  const found = await sql<Omit<Pod, "createdAt"> & { createdAt: Date }>`
    select p.name, p.strategy, p.created_at as "createdAt",
           (select count(*)::int from api.hosts h where h.pod = p.name and h.removed_at is null) as "hostsCount",
           (select count(*)::int from api.environments e where e.pod = p.name and e.deleted_at is null) as "environmentsCount"
      from api.pods p order by p.created_at, p.name limit 1000`.execute(db);
  return found.rows.map((row) => ({ ...row, createdAt: row.createdAt.toISOString() }));
}

export function noPod(name: string): BerthError {
  return new BerthError("not-found", `there is no pod named ${name}`);
}

export async function readPod(db: Db, name: string): Promise<Pod> {
  const pod = (await readPods(db)).find((one) => one.name === name);
  if (pod === undefined) throw noPod(name);
  return pod;
}

/** @throws BerthError `not-found`; the row's lock keeps the pod until the transaction ends */
export async function mustBePod(trx: Trx, name: string): Promise<void> {
  const pod = await trx
    .selectFrom("pods")
    .select("name")
    .where("name", "=", name)
    .forKeyShare()
    .executeTakeFirst();
  if (pod === undefined) throw noPod(name);
}
