/**
 * What hosts are told: made from the record, kept with a version.
 *
 * Nobody waits for anybody: a table is stored over the version that was read before the record was, so that one made from
 * an older record never replaces one made from a newer record. Who comes second makes it again.
 */
import type { EnvironmentNetwork, Mesh } from "@berth/shared/contracts/network.ts";
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { type Kysely, sql } from "kysely";
import { deferNames, type ToldTable } from "../core/defer-names.ts";
import { planTables, portName, type Table, type World } from "../core/plan-tables.ts";
import type { Pools } from "./member-store.ts";
import { readPresentPeople } from "./people-store.ts";
import type { NetworkTables } from "./tables.ts";

const MOST_TRIES = 20;
/** A host without a key is told a port all the same; nobody sends to it. */
const NO_PORT = 1;

export interface Told {
  readonly networks: readonly EnvironmentNetwork[];
  readonly mesh: Mesh | null;
}

export interface Stored extends Told {
  /** When to look again, because something waits for more; null: nothing does. */
  readonly againInMs: number | null;
}

/**
 * Makes tables from what is stored and keeps those that changed and do not wait for more. What was stored before the call
 * is in them, but for names that wait.
 * @param environmentId its table and the mesh alone; null: all
 * @returns those that were kept
 * @throws Error when others stored the same tables again and again meanwhile
 */
export async function storeTables(
  db: Kysely<NetworkTables>,
  pools: Pools,
  environmentId: string | null = null,
): Promise<Stored> {
  const told = new Map<string, Table>();
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const stored = await readStored(db, environmentId === null ? null : [environmentId, "mesh"]);
    const changed = planTables(await readWorld(db, pools, environmentId), stored);
    const { now, againInMs } = deferNames(changed, stored);
    let isWhole = true;
    for (const table of now) {
      if (await storeOver(db, table)) told.set(table.name, table);
      else isWhole = false;
    }
    if (isWhole) return { ...asTold([...told.values()]), againInMs };
  }
  throw new Error(`tables of networks were stored by others ${MOST_TRIES} times meanwhile`);
}

/** @returns false when the version before it is not the one that is stored */
async function storeOver(db: Kysely<NetworkTables>, { name, version, content }: Table): Promise<boolean> {
  const { rows } = await sql`
    insert into tables (name, version, content) values (${name}, ${version}, ${JSON.stringify(content)})
    on conflict (name) do update
       set version = excluded.version, content = excluded.content, changed_at = now()
     where tables.version = excluded.version - 1
    returning 1`.execute(db);
  return rows.length > 0;
}

/** @param names environments, or `mesh`; default all */
export async function readTables(db: Kysely<NetworkTables>, names?: readonly string[]): Promise<Told> {
  return asTold([...(await readStored(db, names)).values()]);
}

function asTold(tables: readonly Table[]): Told {
  const networks = tables
    .filter(({ name }) => name !== "mesh")
    .map(({ name, version, content }) => ({ environmentId: name, version, ...(content as object) }));
  const mesh = tables.find(({ name }) => name === "mesh");
  return {
    networks: networks as unknown as EnvironmentNetwork[],
    mesh: mesh === undefined ? null : ({ version: mesh.version, ...(mesh.content as object) } as Mesh),
  };
}

async function readStored(
  db: Kysely<NetworkTables>,
  names: readonly string[] | null = null,
): Promise<Map<string, ToldTable>> {
  const { rows } = await sql<ToldTable>`
    select name, version, content,
           (extract(epoch from clock_timestamp() - changed_at) * 1000)::float8 as "ageMs"
      from tables
     where ${names}::text[] is null or name = any(${names}::text[])`.execute(db);
  return new Map(rows.map((row) => [row.name, row]));
}

/** @param only the environment of which all is read; null: all. Of the others there are their members, for the mesh */
async function readWorld(db: Kysely<NetworkTables>, pools: Pools, only: string | null): Promise<World> {
  const environments = await sql<World["environments"][number]>`
    select e.environment_id as "environmentId", e.subnet::text as subnet, e.key_generation as "keyGeneration",
           jsonb_build_object('mode', coalesce(p.mode, 'open'), 'rules', coalesce(p.rules, '[]')) as egress,
           case when p.gateway_host_id is not null
                then jsonb_build_object('hostId', p.gateway_host_id, 'address', p.gateway_address) end as gateway
      from environments e
      left join api.egress_policies p on p.environment_id = e.environment_id
       and exists (select 1 from api.environments a where a.id = e.environment_id and a.deleted_at is null)
     where ${only}::text is null or e.environment_id = ${only}`.execute(db);
  const members = await sql<World["members"][number]>`
    select m.environment_id as "environmentId", m.host_id as "hostId", m.slice::text as slice,
           m.public_key as "publicKey", m.port, h.node_address as "nodeAddress"
      from members m join api.hosts h on h.id = m.host_id and h.removed_at is null
     where m.left_at is null`.execute(db);
  const names = await sql<JobRow>`
    select j.environment_id as "environmentId", s.name as service, j.process, j.slot, j.address, j.port
      from scheduler.jobs j
      join api.services s on s.id = j.service_id and s.deleted_at is null
      join members m on m.environment_id = j.environment_id and m.host_id = j.host_id and m.left_at is null
     where j.ready and j.state = 'running' and j.desired = 'run' and j.address is not null
       and j.address::inet << m.slice and (${only}::text is null or j.environment_id = ${only})`.execute(db);
  const links = await sql<World["links"][number]>`
    select l.consumer_id as "consumerId", l.provider_id as "environmentId", l.service_id as "serviceId", l.port,
           l.service || '.' || l.environment || '.' || l.org as name
      from api.links l where ${only}::text is null or l.consumer_id = ${only}`.execute(db);
  // Also one that is about to stop: what is open with it ends by itself.
  const linked = await sql<World["linked"][number]>`
    select j.service_id as "serviceId", j.process, j.address, j.ready and j.desired = 'run' as ready
      from scheduler.jobs j
      join members m on m.environment_id = j.environment_id and m.host_id = j.host_id and m.left_at is null
     where j.state in ('running', 'stopping') and j.address is not null and j.address::inet << m.slice
       and exists (select 1 from api.links l where l.service_id = j.service_id
                    and (${only}::text is null or l.consumer_id = ${only}))`.execute(db);
  const hosts = await sql<World["hosts"][number]>`
    select h.id as "hostId", h.node_address as "nodeAddress", h.subnet::text as subnet,
           k.public_key as "publicKey", coalesce(k.port, ${NO_PORT}) as port
      from api.hosts h left join mesh_keys k on k.host_id = h.id
     where h.removed_at is null`.execute(db);
  return {
    environments: environments.rows,
    members: members.rows,
    names: names.rows.map(named),
    links: links.rows,
    linked: linked.rows,
    people: await readPresentPeople(db),
    hosts: hosts.rows,
    podCidr: pools.podCidr,
    hostCidr: pools.hostCidr,
  };
}

type JobRow = Omit<World["names"][number], "ports"> & { readonly port: number | null };

function named({ port, ...instance }: JobRow): World["names"][number] {
  return port === null ? instance : { ...instance, ports: [{ name: portName(instance.process), port }] };
}

/** Environments whose traffic leaves through the host. */
export async function readGatewayOf(db: Kysely<NetworkTables>, hostId: string): Promise<EnvironmentId[]> {
  const { rows } = await sql<{ id: EnvironmentId }>`
    select p.environment_id as id from api.egress_policies p
      join api.environments a on a.id = p.environment_id and a.deleted_at is null
     where p.gateway_host_id = ${hostId} order by 1`.execute(db);
  return rows.map(({ id }) => id);
}

/** The newest change of any job with a host and the newest act of anybody: a cheap question that tells whether tables may differ. */
export async function readWatermark(db: Kysely<NetworkTables>): Promise<string> {
  const { rows } = await sql<{ jobs: string | null; acts: string | null }>`
    select (select max(told_at)::text from scheduler.jobs) as jobs,
           (select max(id)::text from api.audit) as acts`.execute(db);
  return `${rows[0]?.jobs} ${rows[0]?.acts}`;
}
