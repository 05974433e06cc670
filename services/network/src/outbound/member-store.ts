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
    const refusal = await refusalOf(trx, joining);
    if (refusal !== null) return { kind: "refused", reason: refusal };
    const subnet = await ensureSubnet(trx, joining.environmentId, pools);
    if (subnet === null)
      return {
        kind: "refused",
        reason: `all subnets of ${pools.podCidr} are taken: give the pod a larger BERTH_POD_CIDR`,
      };
    return ensureMember(trx, joining, subnet, pools);
  });
}

/**
 * The record decides who may be in a network: a host that has a job of the environment or of one that is linked to it,
 * is its gateway, or is a member already.
 */
async function refusalOf(
  trx: Transaction<NetworkTables>,
  { hostId, environmentId }: Joining,
): Promise<string | null> {
  const { rows } = await sql<{ host: boolean; environment: boolean; wanted: boolean }>`
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
                       and left_at is null) as wanted`.execute(trx);
  const [found] = rows;
  if (found?.host !== true) return "the host is not one of the pod";
  if (!found.environment) return "the environment was removed";
  return found.wanted ? null : "the record places no job of the environment on the host";
}

async function ensureSubnet(
  trx: Transaction<NetworkTables>,
  environmentId: string,
  pools: Pools,
): Promise<Cidr | null> {
  const rows = await trx.selectFrom("environments").select(["environment_id", "subnet"]).execute();
  const own = rows.find((row) => row.environment_id === environmentId);
  if (own !== undefined) {
    const release = trx.updateTable("environments").set({ released_at: null });
    await release.where("environment_id", "=", environmentId).where("released_at", "is not", null).execute();
    return parseCidr(own.subnet);
  }
  const used = [...rows.map((row) => row.subnet), pools.hostCidr].map(parseCidr);
  const subnet = lowestFree(definite(pools.podCidr), pools.environmentBits, used.filter(isCidr));
  if (subnet === null) return null;
  const row = { environment_id: environmentId, subnet: formatCidr(subnet), released_at: null };
  await trx.insertInto("environments").values(row).execute();
  return subnet;
}

async function ensureMember(
  trx: Transaction<NetworkTables>,
  joining: Joining,
  subnet: Cidr,
  pools: Pools,
): Promise<Joined> {
  const { hostId, environmentId, publicKey, keyGeneration, busyPorts } = joining;
  const rows = await trx
    .selectFrom("members")
    .select(["environment_id", "host_id", "slice", "port"])
    .execute();
  const own = rows.find((row) => row.environment_id === environmentId && row.host_id === hostId);
  const ofSubnet = rows.filter((row) => row.environment_id === environmentId && row !== own);
  const slice =
    own?.slice ??
    formatOrNull(
      lowestFree(subnet, pools.sliceBits, [
        ...ofSubnet.map((row) => parseCidr(row.slice)).filter(isCidr),
        peopleSlice(subnet, pools.sliceBits),
      ]),
    );
  if (slice === null)
    return {
      kind: "refused",
      reason: `all slices of the environment's subnet ${formatCidr(subnet)} are taken`,
    };
  const others = rows.filter((row) => row.host_id === hostId && row !== own).map((row) => row.port);
  const keepsPort = own !== undefined && !busyPorts.includes(own.port);
  const port = keepsPort
    ? own.port
    : lowestFreePort(pools.firstPort, pools.portsCount, new Set([...others, ...busyPorts]));
  if (port === null)
    return {
      kind: "refused",
      reason: `no UDP port is free between ${pools.firstPort} and ${pools.firstPort + pools.portsCount - 1}`,
    };
  const values = { slice, port, public_key: publicKey, key_generation: keyGeneration, left_at: null };
  await trx
    .insertInto("members")
    .values({ environment_id: environmentId, host_id: hostId, ...values })
    .onConflict((oc) => oc.columns(["environment_id", "host_id"]).doUpdateSet(values))
    .execute();
  return { kind: "joined" };
}

function definite(cidr: string): Cidr {
  const parsed = parseCidr(cidr);
  if (parsed === null) throw new Error(`not a network: ${cidr}`);
  return parsed;
}

function isCidr(cidr: Cidr | null): cidr is Cidr {
  return cidr !== null;
}

function formatOrNull(cidr: Cidr | null): string | null {
  return cidr === null ? null : formatCidr(cidr);
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
