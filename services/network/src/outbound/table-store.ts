/**
 * What hosts are told: made from the record, kept with a version.
 *
 * Nobody waits for anybody: a table is stored over the version that was read before the record was, so that one made from
 * an older record never replaces one made from a newer record. Who comes second makes it again.
 */
import type { EnvironmentNetwork, Mesh } from "@berth/shared/contracts/network.ts";
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { ACTS_ON_JOBS, type RecordChanges } from "@berth/shared/kit/changed-environments.ts";
import { listed, PREPARED } from "@berth/shared/kit/database.ts";
import { type Kysely, type RawBuilder, sql } from "kysely";
import { deferNames, type ToldTable } from "../core/defer-names.ts";
import type { Pools } from "../core/place-member.ts";
import { planTables, portName, type Table, type World } from "../core/plan-tables.ts";
import { presentPeople } from "./people-store.ts";
import type { NetworkTables } from "./tables.ts";

const MOST_TRIES = 20;
/** A host without a key is told a port all the same; nobody sends to it. */
const NO_PORT = 1;

/** Which tables are made. `environments` null: of all. */
export interface Which {
  readonly environments: readonly string[] | null;
  readonly mesh: boolean;
}

export const EVERYTHING: Which = { environments: null, mesh: true };

export interface Told {
  readonly networks: readonly EnvironmentNetwork[];
  readonly mesh: Mesh | null;
}

export interface Stored extends Told {
  /** All that were asked about, as they are now. */
  readonly all: Told;
  /** Environments whose names wait for more. */
  readonly waiting: readonly string[];
  /** When to look at them again; null: none wait. */
  readonly againInMs: number | null;
}

/**
 * Makes tables from what is stored and keeps those that changed and do not wait for more. What was stored before the call
 * is in them, but for names that wait.
 * @returns those that were kept
 * @throws Error when others stored the same tables again and again meanwhile
 */
export async function storeTables(
  db: Kysely<NetworkTables>,
  pools: Pools,
  which: Which = EVERYTHING,
): Promise<Stored> {
  const told = new Map<string, Table>();
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const { stored, world } = await readRecord(db, pools, which);
    const { now, waiting, againInMs } = deferNames(planTables(world, stored), stored);
    const kept = await storeOver(db, now);
    for (const table of now) if (kept.has(table.name)) told.set(table.name, table);
    if (kept.size < now.length) continue;
    const all = new Map<string, Table>([...stored, ...told]);
    const deferred = { waiting: waiting.map(({ name }) => name), againInMs };
    return { ...asTold([...told.values()]), all: asTold([...all.values()]), ...deferred };
  }
  throw new Error(`tables of networks were stored by others ${MOST_TRIES} times meanwhile`);
}

/** One commit for all. @returns names of those over whose former version they came */
async function storeOver(db: Kysely<NetworkTables>, tables: readonly Table[]): Promise<ReadonlySet<string>> {
  if (tables.length === 0) return new Set();
  const { rows } = await sql<{ name: string }>`
    insert into tables (name, version, content)
    select name, version, content
      from jsonb_to_recordset(${JSON.stringify(tables)}) as t (name text, version int, content jsonb) order by name
    on conflict (name) do update
       set version = excluded.version, content = excluded.content, changed_at = now()
     where tables.version = excluded.version - 1
    returning name`.execute(db);
  return new Set(rows.map(({ name }) => name));
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
  const { rows } = await storedTables(names).execute(db);
  return new Map(rows.map((row) => [row.name, row]));
}

const storedTables = (names: readonly string[] | null) => sql<ToldTable>`
  select name, version, content,
         (extract(epoch from clock_timestamp() - changed_at) * 1000)::float8 as "ageMs"
    from tables
   where ${isOf("name", names)}`;

/** The statement of some environments is another one than that of all: each keeps the plan that is best for it. */
const isOf = (column: string, only: readonly string[] | null): RawBuilder<unknown> =>
  only === null ? sql`true` : sql`${sql.ref(column)} = any(${only}::text[])`;

/**
 * The tables as they were told last, and all that they are made from, as of one instant: a host that joins waits for it,
 * so it is one question.
 */
async function readRecord(
  db: Kysely<NetworkTables>,
  pools: Pools,
  { environments: only, mesh: isMesh }: Which,
): Promise<{ readonly stored: ReadonlyMap<string, ToldTable>; readonly world: World }> {
  const environments = sql`
    select e.environment_id as "environmentId", e.subnet::text as subnet, e.key_generation as "keyGeneration",
           jsonb_build_object('mode', coalesce(p.mode, 'open'), 'rules', coalesce(p.rules, '[]')) as egress,
           case when p.gateway_host_id is not null
                then jsonb_build_object('hostId', p.gateway_host_id, 'address', p.gateway_address) end as gateway
      from environments e
      left join api.egress_policies p on p.environment_id = e.environment_id
       and exists (select 1 from api.environments a where a.id = e.environment_id and a.deleted_at is null)
     where ${isOf("e.environment_id", only)}`;
  const members = sql`
    select m.environment_id as "environmentId", m.host_id as "hostId", m.slice::text as slice,
           m.public_key as "publicKey", m.port, h.node_address as "nodeAddress"
      from members m join api.hosts h on h.id = m.host_id and h.removed_at is null
     where m.left_at is null and ${isOf("m.environment_id", only)}`;
  const names = sql`
    select j.environment_id as "environmentId", s.name as service, j.process, j.slot, j.address, j.port
      from scheduler.jobs j
      join api.services s on s.id = j.service_id and s.deleted_at is null
      join members m on m.environment_id = j.environment_id and m.host_id = j.host_id and m.left_at is null
     where j.ready and j.state = 'running' and j.desired = 'run' and j.address is not null
       and j.address::inet << m.slice and ${isOf("j.environment_id", only)}`;
  const links = sql`
    select l.consumer_id as "consumerId", l.provider_id as "environmentId", l.service_id as "serviceId", l.port,
           l.service || '.' || l.environment || '.' || l.org as name
      from api.links l where ${isOf("l.consumer_id", only)}`;
  // Also one that is about to stop: what is open with it ends by itself.
  const linked = sql`
    select j.service_id as "serviceId", j.process, j.address, j.ready and j.desired = 'run' as ready
      from scheduler.jobs j
      join members m on m.environment_id = j.environment_id and m.host_id = j.host_id and m.left_at is null
     where j.state in ('running', 'stopping') and j.address is not null and j.address::inet << m.slice
       and exists (select 1 from api.links l where l.service_id = j.service_id and ${isOf("l.consumer_id", only)})`;
  const hosts = sql`
    select h.id as "hostId", h.node_address as "nodeAddress", h.subnet::text as subnet,
           k.public_key as "publicKey", coalesce(k.port, ${NO_PORT}) as port,
           coalesce(m.slices, '{}') as slices
      from api.hosts h left join mesh_keys k on k.host_id = h.id
      left join (select host_id, array_agg(slice::text order by slice::text collate "C") as slices
                   from members where left_at is null group by host_id) as m on m.host_id = h.id
     where h.removed_at is null`;
  const stored = storedTables(only === null ? null : [...only, ...(isMesh ? ["mesh"] : [])]);
  const { rows } = await sql<ReadRow>`${PREPARED}
    select ${listed(stored)} as stored, ${listed(environments)} as environments, ${listed(members)} as members,
           ${listed(names)} as names, ${listed(links)} as links, ${listed(linked)} as linked,
           ${listed(presentPeople)} as people, ${isMesh ? listed(hosts) : sql`null::jsonb`} as hosts`.execute(
    db,
  );
  const { stored: tables, ...read } = rows[0] as ReadRow;
  const { podCidr, hostCidr } = pools;
  return {
    stored: new Map(tables.map((table) => [table.name, table])),
    world: { ...read, names: read.names.map(named), podCidr, hostCidr },
  };
}

interface ReadRow extends Omit<World, "names" | "podCidr" | "hostCidr"> {
  readonly stored: readonly ToldTable[];
  readonly names: readonly JobRow[];
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

/** Environments whose jobs changed lately, and those that are linked to such. */
export async function readChanges(db: Kysely<NetworkTables>, since: Date): Promise<RecordChanges> {
  const { rows } = await sql<RecordChanges>`
    select (extract(epoch from clock_timestamp()) * 1000)::float8 as "atMs",
           (select max(id)::text from api.audit where action <> all(${ACTS_ON_JOBS}::text[])) as acts,
           array(select distinct environment_id from scheduler.jobs where told_at > ${since}) as environments`.execute(
    db,
  );
  const [row] = rows;
  if (row === undefined) throw new Error("the record told no time");
  if (row.environments.length === 0) return row;
  const linked = await sql<{ id: string }>`${PREPARED}
    select distinct consumer_id as id from api.links where provider_id = any(${row.environments}::text[])`.execute(
    db,
  );
  return { ...row, environments: [...new Set([...row.environments, ...linked.rows.map(({ id }) => id)])] };
}
