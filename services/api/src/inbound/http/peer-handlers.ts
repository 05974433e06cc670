/** People's machines in an environment's network: what they must know of it, and an audit row for each that comes or goes. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import {
  AddPersonPeer,
  type EnvironmentNetwork,
  type NamedPersonPeer,
  RemovePersonPeer,
  ShowNetwork,
} from "@berth/shared/contracts/network.ts";
import { addressOf, parseCidr } from "@berth/shared/domain/cidr.ts";
import { EnvironmentId, UserId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { audited } from "../../outbound/audited.ts";
import type { Db } from "../../outbound/tables.ts";
import { notFound } from "./errors.ts";
import type { Asked, Handlers } from "./handler.ts";
import type { Reply } from "./routes.ts";

interface Given {
  readonly db: Db;
  readonly bus: Bus;
}

type Peers = Pick<Handlers, "listNetworkPeers" | "addNetworkPeer" | "removeNetworkPeer">;

export function peerHandlers(given: Given): Peers {
  return {
    listNetworkPeers: ({ object }) => read(given, object.environmentId),
    addNetworkPeer: (asked) => add(given, asked),
    removeNetworkPeer: (asked) => remove(given, asked),
  };
}

async function read({ db, bus }: Given, environment: string): Promise<Reply<"listNetworkPeers">> {
  const environmentId = EnvironmentId.parse(environment);
  const { network, people = [] } = await bus.request(ShowNetwork, { environmentId });
  const users = await db.selectFrom("users").select(["id", "email"]).execute();
  const ownerOf = ({ userId }: NamedPersonPeer) => users.find(({ id }) => id === userId)?.email ?? "unknown";
  return {
    peers: people
      .map((one) => ({
        ...{ name: one.name, owner: ownerOf(one), publicKey: one.publicKey, address: one.address },
        expiresAt: new Date(one.expiresAtMs).toISOString(),
      }))
      .sort((a, b) => a.name.localeCompare(b.name)),
    ways: await waysOf(db, network),
  };
}

async function waysOf(
  db: Db,
  network: EnvironmentNetwork | null,
): Promise<Reply<"listNetworkPeers">["ways"]> {
  if (network === null) return [];
  const named = await db.selectFrom("hosts").select(["id", "name"]).execute();
  return network.members
    .flatMap(({ hostId, publicKey, nodeAddress, port, slice }) => {
      const name = named.find(({ id }) => id === hostId)?.name;
      const parsed = parseCidr(slice);
      if (name === undefined || parsed === null) return [];
      return [{ name, publicKey, endpoint: `${nodeAddress}:${port}`, slice, resolver: addressOf(parsed, 1) }];
    })
    .sort((a, b) => a.name.localeCompare(b.name));
}

const CODES = {
  "no-network": "conflict",
  "name-taken": "name-taken",
  "key-taken": "name-taken",
  limit: "limit-reached",
} as const;

async function add(
  given: Given,
  { object, body, caller, actor }: Asked<"addNetworkPeer">,
): Promise<Reply<"addNetworkPeer">> {
  const environmentId = EnvironmentId.parse(object.environmentId);
  const { name, publicKey, lifetimeMinutes } = body;
  const expiresAtMs = Date.now() + lifetimeMinutes * 60_000;
  const userId = UserId.parse(caller.userId);
  const added = await given.bus.request(AddPersonPeer, {
    environmentId,
    userId,
    name,
    publicKey,
    expiresAtMs,
  });
  if (added.answer === "refused") throw new BerthError(CODES[added.why], added.reason);
  const { address } = added;
  const expiresAt = new Date(expiresAtMs).toISOString();
  const details = { name, address, publicKey, expiresAt };
  // One that cannot be audited does not stay.
  await note(given, actor, "network.peer-added", object, details).catch(async (error: unknown) => {
    await given.bus.request(RemovePersonPeer, { environmentId, name }).catch(() => undefined);
    throw error;
  });
  const { ways } = await read(given, environmentId);
  return { peer: { name, owner: caller.email, publicKey, address, expiresAt }, ways };
}

async function remove(
  given: Given,
  { object, params, actor }: Asked<"removeNetworkPeer">,
): Promise<Reply<"removeNetworkPeer">> {
  const environmentId = EnvironmentId.parse(object.environmentId);
  const { removed } = await given.bus.request(RemovePersonPeer, { environmentId, name: params.peer });
  if (!removed)
    throw notFound(`machine ${params.peer} in the network of ${object.org}/${object.environment}`);
  await note(given, actor, "network.peer-removed", object, { name: params.peer });
  return { removed };
}

function note(
  { db }: Given,
  actor: Asked<"addNetworkPeer">["actor"],
  action: string,
  { environmentId, orgId }: Asked<"addNetworkPeer">["object"],
  details: object,
): Promise<null> {
  const act = { action, target: environmentId, orgId, details };
  return audited(db, actor, async () => ({ result: null, act }));
}
