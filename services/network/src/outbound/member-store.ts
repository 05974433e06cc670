/**
 * Subnets, slices, ports and members in PostgreSQL.
 *
 * The exclusion constraints have the last word about addresses. All changes run under one lock, so that the lowest
 * free address that was read is still free when it is stored.
 */

import type { EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";
import { PREPARED } from "@berth/shared/kit/database.ts";
import { type Kysely, sql, type Transaction } from "kysely";
import { type Held, type Joining, type Place, type Pools, placeMember } from "../core/place-member.ts";
import type { NetworkTables } from "./tables.ts";

export const MEMBERS_LOCK = 7_420_020;

export type Joined = { readonly kind: "joined" } | { readonly kind: "refused"; readonly reason: string };

/** Makes the host a member, with its old slice when that still waits in quarantine. */
export function joinNetwork(db: Kysely<NetworkTables>, joining: Joining, pools: Pools): Promise<Joined> {
  return db.transaction().execute(async (trx) => {
    await sql`select pg_advisory_xact_lock(${MEMBERS_LOCK})`.execute(trx);
    const held = await readHeld(trx, joining);
    const place = placeMember(joining, held, pools);
    if (typeof place === "string") return { kind: "refused", reason: place };
    await storeMember(trx, joining, place);
    return { kind: "joined" };
  });
}

async function readHeld(trx: Transaction<NetworkTables>, { hostId, environmentId }: Joining): Promise<Held> {
  const { rows } = await sql<Held>`${PREPARED}
    select exists (select 1 from api.hosts where id = ${hostId} and removed_at is null) as host,
           exists (select 1 from api.environments where id = ${environmentId} and deleted_at is null) as environment,
           exists (select 1 from scheduler.jobs where (held_by = ${hostId} or (pending and host_id = ${hostId}))
                    and environment_id = ${environmentId} and state <> 'requested')
           or exists (select 1 from api.links l join scheduler.jobs j on j.environment_id = l.consumer_id
                       where l.provider_id = ${environmentId} and j.state <> 'requested'
                         and (j.held_by = ${hostId} or (j.pending and j.host_id = ${hostId})))
           or exists (select 1 from api.egress_policies
                       where environment_id = ${environmentId} and gateway_host_id = ${hostId})
           or exists (select 1 from members where host_id = ${hostId} and environment_id = ${environmentId}
                       and left_at is null) as wanted,
           (select subnet::text from environments where environment_id = ${environmentId}) as subnet,
           array(select subnet::text from environments) as subnets,
           (select coalesce(jsonb_agg(jsonb_build_object('hostId', host_id, 'slice', slice::text, 'port', port)), '[]')
              from members where environment_id = ${environmentId}) as slices,
           array(select port from members where host_id = ${hostId} and environment_id <> ${environmentId}) as ports`.execute(
    trx,
  );
  return rows[0] as Held;
}

/** The environment's row and the member's, in one statement. */
async function storeMember(
  trx: Transaction<NetworkTables>,
  { hostId, environmentId, publicKey, keyGeneration }: Joining,
  { subnet, slice, port }: Place,
): Promise<void> {
  await sql`
    with environment as (
      insert into environments (environment_id, subnet) values (${environmentId}, ${subnet})
      on conflict (environment_id) do update set released_at = null where environments.released_at is not null
    )
    insert into members (environment_id, host_id, slice, port, public_key, key_generation)
    values (${environmentId}, ${hostId}, ${slice}, ${port}, ${publicKey}, ${keyGeneration})
    on conflict (environment_id, host_id) do update
       set slice = excluded.slice, port = excluded.port, public_key = excluded.public_key,
           key_generation = excluded.key_generation, left_at = null`.execute(trx);
}

/** @returns whether the host was a member */
export async function leaveNetwork(
  db: Kysely<NetworkTables>,
  { hostId, environmentId }: { hostId: HostId; environmentId: EnvironmentId },
): Promise<boolean> {
  const { rows } = await sql`
    update members set left_at = now()
     where host_id = ${hostId} and environment_id = ${environmentId} and left_at is null returning 1`.execute(
    db,
  );
  return rows.length > 0;
}

export async function storeMeshKey(
  db: Kysely<NetworkTables>,
  { hostId, publicKey, port }: { hostId: HostId; publicKey: string; port: number },
): Promise<void> {
  const row = { host_id: hostId, public_key: publicKey, port };
  await db
    .insertInto("mesh_keys")
    .values(row)
    .onConflict((oc) => oc.column("host_id").doUpdateSet(row))
    .execute();
}

/**
 * Lets go of what nobody uses: members of removed hosts and environments leave, and what left is given away after
 * its quarantine.
 */
export async function releaseUnused(db: Kysely<NetworkTables>, quarantineMs: number): Promise<void> {
  const before = sql`now() - make_interval(secs => ${quarantineMs / 1000})`;
  await db.transaction().execute(async (trx) => {
    await sql`select pg_advisory_xact_lock(${MEMBERS_LOCK})`.execute(trx);
    await sql`
      update members m set left_at = now() where left_at is null
         and exists (select 1 from api.hosts h where h.id = m.host_id and h.removed_at is not null)`.execute(
      trx,
    );
    await sql`delete from members where left_at < ${before}`.execute(trx);
    await sql`
      update environments e set released_at = now() where released_at is null
         and exists (select 1 from api.environments a where a.id = e.environment_id and a.deleted_at is not null)
         and not exists (select 1 from members m where m.environment_id = e.environment_id)`.execute(trx);
    await sql`delete from people where expires_at < now()`.execute(trx);
    await sql`delete from environments where released_at < ${before}`.execute(trx);
    await sql`
      delete from tables t where t.name <> 'mesh'
         and not exists (select 1 from environments e where e.environment_id = t.name)`.execute(trx);
    await sql`
      delete from mesh_keys k using api.hosts h where h.id = k.host_id and h.removed_at is not null`.execute(
      trx,
    );
    await sql`
      delete from reports r using api.hosts h where h.id = r.host_id and h.removed_at is not null`.execute(
      trx,
    );
  });
}

/** Asks every member of the environment for a new key. @returns the new generation, null without a network */
export async function askNewKeys(db: Kysely<NetworkTables>, environmentId: string): Promise<number | null> {
  const { rows } = await sql<{ key_generation: number }>`
    update environments set key_generation = key_generation + 1
     where environment_id = ${environmentId} returning key_generation`.execute(db);
  return rows[0]?.key_generation ?? null;
}
