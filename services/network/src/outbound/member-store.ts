/**
 * Subnets, slices, ports and members in PostgreSQL.
 *
 * The exclusion constraints have the last word about addresses. All changes run under one lock, so that the lowest
 * free address that was read is still free when it is stored.
 */

import { type Cidr, formatCidr, lowestFree, lowestFreePort, parseCidr } from "@berth/shared/domain/cidr.ts";
import type { EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";
import { type Kysely, sql, type Transaction } from "kysely";
import { peopleSlice } from "../core/people-slice.ts";
import type { NetworkTables } from "./tables.ts";

export const MEMBERS_LOCK = 7_420_020;

export interface Pools {
  readonly podCidr: string;
  readonly hostCidr: string;
  readonly environmentBits: number;
  readonly sliceBits: number;
  readonly firstPort: number;
  readonly portsCount: number;
}

export interface Joining {
  readonly hostId: HostId;
  readonly environmentId: EnvironmentId;
  readonly publicKey: string;
  readonly keyGeneration: number;
  readonly busyPorts: readonly number[];
}

export type Joined = { readonly kind: "joined" } | { readonly kind: "refused"; readonly reason: string };

/** Makes the host a member, with its old slice when that still waits in quarantine. */
export function joinNetwork(db: Kysely<NetworkTables>, joining: Joining, pools: Pools): Promise<Joined> {
  return db.transaction().execute(async (trx) => {
    await sql`select pg_advisory_xact_lock(${MEMBERS_LOCK})`.execute(trx);
    const held = await readHeld(trx, joining);
    const place = refusalOf(held) ?? placeFor(joining, held, pools);
    if (typeof place === "string") return { kind: "refused", reason: place };
    await storeMember(trx, joining, place);
    return { kind: "joined" };
  });
}

/** What the record has about a join. */
interface Held {
  readonly host: boolean;
  readonly environment: boolean;
  readonly wanted: boolean;
  /** The environment's, also while it waits in quarantine. */
  readonly subnet: string | null;
  /** Of all environments. */
  readonly subnets: readonly string[];
  /** Of the environment, those in quarantine too. */
  readonly slices: readonly { readonly hostId: string; readonly slice: string; readonly port: number }[];
  /** Ports that the host has for other environments. */
  readonly ports: readonly number[];
}

async function readHeld(trx: Transaction<NetworkTables>, { hostId, environmentId }: Joining): Promise<Held> {
  const { rows } = await sql<Held>`
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

/**
 * The record decides who may be in a network: a host that has a job of the environment or of one that is linked to it,
 * is its gateway, or is a member already.
 */
function refusalOf({ host, environment, wanted }: Held): string | null {
  if (!host) return "the host is not one of the pod";
  if (!environment) return "the environment was removed";
  return wanted ? null : "the record places no job of the environment on the host";
}

interface Place {
  readonly subnet: string;
  readonly slice: string;
  readonly port: number;
}

/** @returns what it had, or the lowest that is free; text: why there is none */
function placeFor({ hostId, busyPorts }: Joining, held: Held, pools: Pools): Place | string {
  const used = [...held.subnets, pools.hostCidr].map(parseCidr).filter(isCidr);
  const subnet =
    parseCidr(held.subnet ?? "") ?? lowestFree(definite(pools.podCidr), pools.environmentBits, used);
  if (subnet === null)
    return `all subnets of ${pools.podCidr} are taken: give the pod a larger BERTH_POD_CIDR`;
  const own = held.slices.find((row) => row.hostId === hostId);
  const taken = held.slices.map((row) => parseCidr(row.slice)).filter(isCidr);
  const slice =
    parseCidr(own?.slice ?? "") ??
    lowestFree(subnet, pools.sliceBits, [...taken, peopleSlice(subnet, pools.sliceBits)]);
  if (slice === null) return `all slices of the environment's subnet ${formatCidr(subnet)} are taken`;
  const { firstPort, portsCount } = pools;
  const keepsPort = own !== undefined && !busyPorts.includes(own.port);
  const port = keepsPort
    ? own.port
    : lowestFreePort(firstPort, portsCount, new Set([...held.ports, ...busyPorts]));
  if (port === null) return `no UDP port is free between ${firstPort} and ${firstPort + portsCount - 1}`;
  return { subnet: formatCidr(subnet), slice: formatCidr(slice), port };
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

function definite(cidr: string): Cidr {
  const parsed = parseCidr(cidr);
  if (parsed === null) throw new Error(`not a network: ${cidr}`);
  return parsed;
}

function isCidr(cidr: Cidr | null): cidr is Cidr {
  return cidr !== null;
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
