/** What operators say of a host: cordoned, draining, labels, dedicated to an org, removed. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { sql } from "kysely";
import type { Body } from "../inbound/http/routes.ts";
import type { Trx } from "./tables.ts";

export function noHost(name: string): BerthError {
  return new BerthError("not-found", `there is no host named ${name}`);
}

/** @returns the host's id  @throws BerthError `not-found` for an unknown host or org */
export async function changeHostPolicy(trx: Trx, name: string, change: Body<"changeHost">): Promise<string> {
  const host = await trx
    .selectFrom("hosts")
    .select(["id", "labels"])
    .where("name", "=", name)
    .where("removed_at", "is", null)
    .forUpdate()
    .executeTakeFirst();
  if (host === undefined) throw noHost(name);
  const labels: Record<string, string> = { ...host.labels };
  for (const [label, value] of Object.entries(change.labels ?? {})) {
    if (value === null) delete labels[label];
    else labels[label] = value;
  }
  const dedicatedTo =
    change.dedicatedTo === undefined || change.dedicatedTo === null
      ? change.dedicatedTo
      : await orgIdOf(trx, change.dedicatedTo);
  await trx
    .updateTable("hosts")
    .set({
      labels: JSON.stringify(labels),
      ...(change.cordoned === undefined ? {} : { cordoned: change.cordoned }),
      // Who gives a host work again says that it is the right one.
      ...(change.cordoned === false ? { identity_resolved_at: new Date() } : {}),
      ...(change.draining === undefined ? {} : { draining: change.draining }),
      ...(dedicatedTo === undefined ? {} : { dedicated_to: dedicatedTo }),
    })
    .where("id", "=", host.id)
    .execute();
  return host.id;
}

async function orgIdOf(trx: Trx, name: string): Promise<string> {
  const org = await trx.selectFrom("orgs").select("id").where("name", "=", name).executeTakeFirst();
  if (org === undefined) throw new BerthError("not-found", `there is no org named ${name}`);
  return org.id;
}

/**
 * Forgets a host: its subnet is free again, its words count no more.
 * @throws BerthError `conflict` while jobs are, or may be, on it
 */
export async function removeHost(trx: Trx, name: string, force: boolean): Promise<string> {
  const host = await trx
    .selectFrom("hosts")
    .select("id")
    .where("name", "=", name)
    .where("removed_at", "is", null)
    .forUpdate()
    .executeTakeFirst();
  if (host === undefined) throw noHost(name);
  const jobs = await sql<{ count: number; state: string | null }>`
    select count(j.id)::int as count, (select state from scheduler.hosts_seen where host_id = ${host.id}) as state
      from scheduler.jobs j where (j.held_by = ${host.id} or (j.pending and j.host_id = ${host.id})) and j.state <> 'requested'`.execute(
    trx,
  );
  const { count = 0, state = null } = jobs.rows[0] ?? {};
  if (count > 0 && !(force && state === "lost")) {
    const next =
      state === "lost"
        ? "remove it with --force: its jobs are replaced already"
        : `empty it first: berth hosts drain ${name}`;
    throw new BerthError("conflict", `${name} still has ${count} job${count === 1 ? "" : "s"}; ${next}`);
  }
  await trx.updateTable("hosts").set({ removed_at: new Date() }).where("id", "=", host.id).execute();
  return host.id;
}
