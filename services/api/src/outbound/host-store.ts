/** Hosts, their container subnets and the one-time tokens with which they join. */
import { randomBytes } from "node:crypto";
import { BerthError } from "@berth/shared/contracts/errors.ts";
import type { HostPeer } from "@berth/shared/contracts/host.ts";
import { HostAlarm, type Host as HostReply } from "@berth/shared/contracts/http/api.ts";
import { type Cidr, formatCidr, parseCidr } from "@berth/shared/domain/cidr.ts";
import { sql } from "kysely";
import { z } from "zod";
import { nextSlice } from "../core/allocate-subnet.ts";
import { hashToken } from "./reach-store.ts";
import type { Db, Trx } from "./tables.ts";

const HOSTS_LOCK = 7_420_014;

export interface NewHost {
  readonly id: string;
  readonly name: string;
  readonly nodeAddress: string;
  readonly zone: string;
  readonly pod: string;
  readonly agentKey: string;
  readonly logshipperKey: string;
  readonly curveKey: string;
}

/** @returns the token, which is shown once and stored as a hash */
export async function storeJoinToken(
  trx: Trx,
  given: { createdBy: string; expiresAt: Date; pod: string; zone: string | null },
): Promise<string> {
  const token = `berth_join_${randomBytes(20).toString("hex")}`;
  await trx
    .insertInto("join_tokens")
    .values({
      hash: hashToken(token),
      expires_at: given.expiresAt,
      created_by: given.createdBy,
      pod: given.pod,
      zone: given.zone,
    })
    .execute();
  return token;
}

/**
 * Uses the token up, or throws. The row's lock makes a second user of the same token wait and then fail; a
 * rolled-back transaction leaves the token unused.
 */
export async function spendJoinToken(
  trx: Trx,
  token: string,
): Promise<{ hash: string; createdBy: string; pod: string; zone: string | null }> {
  const spent = await trx
    .updateTable("join_tokens")
    .set({ used_at: sql`now()` })
    .where("hash", "=", hashToken(token))
    .where("used_at", "is", null)
    .where("expires_at", ">", sql<Date>`now()`)
    .returning(["hash", "created_by as createdBy", "pod", "zone"])
    .executeTakeFirst();
  if (spent === undefined)
    throw new BerthError("join-token-invalid", "the join token is unknown, used or expired");
  return spent;
}

/**
 * Adds the host with the lowest free subnet.
 * @throws an exclusion violation when another join took it first: the caller tries its transaction again
 */
export async function addHost(trx: Trx, host: NewHost, hostCidr: string): Promise<string> {
  // One at a time: two that chose the same subnet would wait for each other, and one of them would fail.
  await sql`select pg_advisory_xact_lock(${HOSTS_LOCK})`.execute(trx);
  const pool = parseCidr(hostCidr);
  if (pool === null) throw new Error(`not a network: ${hostCidr}`);
  const rows = await trx.selectFrom("hosts").select("subnet").where("removed_at", "is", null).execute();
  const used = rows.map((row) => parseCidr(row.subnet)).filter((cidr): cidr is Cidr => cidr !== null);
  const slice = nextSlice(pool, used);
  if (slice === null)
    throw new BerthError("address-pool-exhausted", `all subnets for hosts of ${hostCidr} are taken`);
  const subnet = formatCidr(slice);
  await trx
    .insertInto("hosts")
    .values({
      id: host.id,
      name: host.name,
      node_address: host.nodeAddress,
      subnet,
      zone: host.zone,
      pod: host.pod,
      agent_key: host.agentKey,
      logshipper_key: host.logshipperKey,
      curve_key: host.curveKey,
    })
    .execute();
  return subnet;
}

/** All hosts with a revision that grows by every join, every removal and every change of an address. */
export async function readPeers(db: Db): Promise<{ revision: number; peers: HostPeer[] }> {
  const found = await sql<HostPeer & { removed: boolean; changes: number }>`
    select address_changes as changes, id as "hostId", name, node_address as "nodeAddress", subnet::text as subnet, removed_at is not null as removed
    from api.hosts order by joined_at, id
  `.execute(db);
  const removedCount = found.rows.filter((row) => row.removed).length;
  const changesCount = found.rows.reduce((sum, row) => sum + row.changes, 0);
  const peers = found.rows
    .filter((row) => !row.removed)
    .map(({ removed: _removed, changes: _changes, ...peer }) => peer);
  return { revision: found.rows.length + removedCount + changesCount, peers };
}

type Host = z.output<typeof HostReply>;
interface HostRow extends Omit<Host, "joinedAt" | "lastHeartbeatAt" | "alarms"> {
  readonly joinedAt: Date;
  readonly lastHeartbeatAt: Date | null;
  readonly told: unknown;
  readonly cloned: boolean;
}

/** Alarms that the host itself tells; an agent that knows none tells none. */
const ToldAlarms = z.array(HostAlarm).catch([]);

const CLONED = {
  code: "identity-cloned",
  detail: "two machines speak with this host's credentials; see berth hosts show",
};

export async function readHosts(db: Db): Promise<Host[]> {
  const found = await sql<HostRow>`
    select h.id, h.name, h.node_address as "nodeAddress", h.subnet::text as subnet, h.zone,
           coalesce(seen.state, 'never-seen') as state, seen.last_heartbeat_at as "lastHeartbeatAt",
           seen.heartbeat->>'engineVersion' as "engineVersion", seen.heartbeat->'state' as bid,
           (select count(*)::int from scheduler.jobs j
             where (j.held_by = h.id or (j.pending and j.host_id = h.id)) and j.state not in ('requested', 'lost')) as "jobsCount",
           seen.heartbeat->'state'->'alarms' as told, seen.cloned is not null as cloned, h.pod,
           h.joined_at as "joinedAt", h.cordoned, h.draining, h.labels,
           (select o.name from api.orgs o where o.id = h.dedicated_to) as "dedicatedTo"
    from api.hosts h left join scheduler.hosts_seen seen on seen.host_id = h.id
    where h.removed_at is null order by h.name
  `.execute(db);
  return found.rows.map(({ told, cloned, ...row }) => ({
    ...row,
    alarms: [...(cloned ? [CLONED] : []), ...ToldAlarms.parse(told ?? [])],
    joinedAt: row.joinedAt.toISOString(),
    lastHeartbeatAt: row.lastHeartbeatAt?.toISOString() ?? null,
  }));
}

/** Hosts that may hold log lines: all but those known to be lost. */
export async function readLogHosts(db: Db): Promise<{ id: string; name: string; lost: boolean }[]> {
  const found = await sql<{ id: string; name: string; lost: boolean }>`
    select h.id, h.name, coalesce(seen.state = 'lost', false) as lost
    from api.hosts h left join scheduler.hosts_seen seen on seen.host_id = h.id
    where h.removed_at is null order by h.name
  `.execute(db);
  return found.rows;
}
