/** People's machines in environments' networks. Who is no member of the org any more, or whose time is over, is not there. */
import type { NamedPersonPeer } from "@berth/shared/contracts/network.ts";
import { overlaps, parseCidr } from "@berth/shared/domain/cidr.ts";
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { type Kysely, sql, type Transaction } from "kysely";
import { freeAddress, peopleSlice } from "../core/people-slice.ts";
import type { Pools } from "../core/place-member.ts";
import { MEMBERS_LOCK } from "./member-store.ts";
import type { NetworkTables } from "./tables.ts";

const MOST_PEOPLE = 50;

export interface NewPerson {
  readonly environmentId: EnvironmentId;
  readonly userId: string;
  readonly name: string;
  readonly publicKey: string;
  readonly expiresAtMs: number;
}

export type Added =
  | { readonly answer: "added"; readonly address: string }
  | {
      readonly answer: "refused";
      readonly why: "no-network" | "name-taken" | "key-taken" | "limit";
      readonly reason: string;
    };

const refused = (why: Extract<Added, { answer: "refused" }>["why"], reason: string): Added => ({
  answer: "refused",
  why,
  reason,
});

export function addPerson(db: Kysely<NetworkTables>, person: NewPerson, pools: Pools): Promise<Added> {
  return db.transaction().execute(async (trx) => {
    await sql`select pg_advisory_xact_lock(${MEMBERS_LOCK})`.execute(trx);
    const { environmentId, name, publicKey } = person;
    await sql`delete from people where expires_at < now()`.execute(trx);
    const slice = await sliceOf(trx, environmentId, pools);
    if (slice === null)
      return refused("no-network", "the environment has no network yet: nothing of it runs");
    if (slice === "taken") return refused("limit", "a host has the addresses that are for people's machines");
    const present = await readPeople(trx, environmentId);
    if (present.some((one) => one.name === name))
      return refused("name-taken", `the network has a machine ${name} already`);
    if (present.some((one) => one.publicKey === publicKey) || (await isHostKey(trx, publicKey)))
      return refused("key-taken", "the network has a machine with that public key already");
    const address = freeAddress(slice, new Set(present.map((one) => one.address)));
    if (address === null || present.length >= MOST_PEOPLE)
      return refused("limit", `an environment's network has at most ${MOST_PEOPLE} machines of people`);
    await trx
      .insertInto("people")
      .values({
        ...{ environment_id: environmentId, name, user_id: person.userId, public_key: publicKey, address },
        expires_at: new Date(person.expiresAtMs),
      })
      .execute();
    return { answer: "added", address };
  });
}

async function sliceOf(trx: Transaction<NetworkTables>, environmentId: string, pools: Pools) {
  const members = await trx
    .selectFrom("members")
    .innerJoin("environments", "environments.environment_id", "members.environment_id")
    .select(["members.slice", "members.left_at", "environments.subnet"])
    .where("members.environment_id", "=", environmentId)
    .execute();
  const subnet = parseCidr(members.find(({ left_at }) => left_at === null)?.subnet ?? "");
  if (subnet === null) return null;
  const slice = peopleSlice(subnet, pools.sliceBits);
  // A network of before people had their own slice.
  const isTaken = members.some((member) => {
    const its = parseCidr(member.slice);
    return its !== null && overlaps(its, slice);
  });
  return isTaken ? ("taken" as const) : slice;
}

/** A host's own key would send the host's packets to the person. */
async function isHostKey(trx: Transaction<NetworkTables>, publicKey: string): Promise<boolean> {
  const { rows } = await sql`
    select 1 from members where public_key = ${publicKey}
    union all select 1 from mesh_keys where public_key = ${publicKey} limit 1`.execute(trx);
  return rows.length > 0;
}

/** Every one that is stored, also those that nobody is told of any more. */
async function readPeople(
  trx: Transaction<NetworkTables>,
  environmentId: string,
): Promise<{ name: string; publicKey: string; address: string }[]> {
  const { rows } = await sql<{ name: string; publicKey: string; address: string }>`
    select name, public_key as "publicKey", host(address) as address
      from people where environment_id = ${environmentId}`.execute(trx);
  return rows;
}

/** Those that are in, of all environments. */
export const presentPeople = sql<NamedPersonPeer & { readonly environmentId: string }>`
  select p.environment_id as "environmentId", p.name, p.user_id as "userId", p.public_key as "publicKey",
         host(p.address) as address, (extract(epoch from p.expires_at) * 1000)::float8 as "expiresAtMs"
    from people p
    join api.environments e on e.id = p.environment_id and e.deleted_at is null
    join api.members m on m.org_id = e.org_id and m.user_id = p.user_id
   where p.expires_at > now()`;

/** @returns whether it was there */
export async function removePerson(
  db: Kysely<NetworkTables>,
  { environmentId, name }: { environmentId: EnvironmentId; name: string },
): Promise<boolean> {
  const { rows } = await sql`
    delete from people where environment_id = ${environmentId} and name = ${name} returning 1`.execute(db);
  return rows.length > 0;
}
