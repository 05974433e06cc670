/** What hosts ask: to join, to leave, and for what they may have missed. Throwing means no answer: they keep what they have. */
import type { GetNetworks, JoinMesh, JoinNetwork, LeaveNetwork } from "@berth/shared/contracts/network.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { z } from "zod";
import { fitNetworks } from "../core/fit-networks.ts";
import { joinNetwork, leaveNetwork, storeMeshKey } from "../outbound/member-store.ts";
import { readGatewayOf, readTables } from "../outbound/table-store.ts";
import type { TablesGiven } from "./reconcile-tables.ts";

type Request<C extends { payload: z.ZodType; reply: z.ZodType }> = (
  asked: z.infer<C["payload"]>,
) => Promise<z.infer<C["reply"]>>;

/**
 * The answer holds the new member itself, and the others are told before it leaves. The mesh carries what edges send to its
 * containers, of which there are none yet: it follows.
 */
export function onJoinNetwork(given: TablesGiven): Request<typeof JoinNetwork> {
  return async (asked) => {
    const { hostId, environmentId } = asked;
    const joined = await joinNetwork(given.db, asked, given.pools);
    if (joined.kind === "refused") {
      given.log.warn("network.join-refused", { hostId, environmentId, reason: joined.reason });
      return { answer: "refused", reason: joined.reason };
    }
    const hasMesh = asked.meshVersion > 0;
    const { networks, mesh } = await given.reconcileOf({ environments: [environmentId], mesh: !hasMesh });
    const [network] = networks;
    if (network === undefined || (mesh === null && !hasMesh))
      throw new Error("a network that was just stored is not there");
    if (hasMesh) given.reconcileMeshSoon();
    return { answer: "joined", network, mesh };
  };
}

export function onLeaveNetwork(given: TablesGiven): Request<typeof LeaveNetwork> {
  return async (asked) => {
    const left = await leaveNetwork(given.db, asked);
    if (left) await given.reconcile();
    return { left };
  };
}

export function onJoinMesh(given: TablesGiven): Request<typeof JoinMesh> {
  return async (asked) => {
    await storeMeshKey(given.db, asked);
    await given.reconcile();
    const { mesh } = await readTables(given.db, ["mesh"]);
    if (mesh === null) throw new Error("the mesh that was just stored is not there");
    return { mesh };
  };
}

export function onGetNetworks({ db }: TablesGiven): Request<typeof GetNetworks> {
  return async ({ hostId, known, meshVersion }) => {
    const { networks, mesh } = await readTables(db);
    const own = networks.filter(({ members }) => isMember(members, hostId));
    return {
      versions: Object.fromEntries(own.map(({ environmentId, version }) => [environmentId, version])),
      networks: fitNetworks(own, known),
      gatewayOf: await readGatewayOf(db, hostId),
      mesh: mesh === null || mesh.version <= meshVersion ? null : mesh,
    };
  };
}

function isMember(members: readonly { readonly hostId: string }[], hostId: HostId): boolean {
  return members.some((member) => member.hostId === hostId);
}
