/** Environment networks: what the network service knows, with hosts by name; and new keys. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { RotateNetworkKeys, ShowNetwork } from "@berth/shared/contracts/network.ts";
import { EnvironmentId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { audited } from "../../outbound/audited.ts";
import type { Db } from "../../outbound/tables.ts";
import type { Asked, Handlers } from "./handler.ts";
import type { Reply } from "./routes.ts";

interface Given {
  readonly db: Db;
  readonly bus: Bus;
}

export function networkHandlers(given: Given): Pick<Handlers, "showNetwork" | "rotateNetworkKeys"> {
  return {
    showNetwork: (asked) => showNetwork(given, asked),
    rotateNetworkKeys: async ({ object, actor }) => {
      const environmentId = EnvironmentId.parse(object.environmentId);
      const { keyGeneration } = await given.bus.request(RotateNetworkKeys, { environmentId });
      if (keyGeneration === null)
        throw new BerthError("conflict", "the environment has no network yet: nothing of it runs");
      // The keys are other ones by now: told after the fact, since the act is the network service's.
      await audited(given.db, actor, async () => ({
        result: null,
        act: {
          action: "network.keys-rotated",
          target: environmentId,
          orgId: object.orgId,
          details: { keyGeneration },
        },
      }));
      return { keyGeneration };
    },
  };
}

async function showNetwork(
  { db, bus }: Given,
  { object }: Asked<"showNetwork">,
): Promise<Reply<"showNetwork">> {
  const environmentId = EnvironmentId.parse(object.environmentId);
  const { network, reports } = await bus.request(ShowNetwork, { environmentId });
  if (network === null) return { subnet: null, keyGeneration: 0, namesCount: 0, hosts: [] };
  const named = await db.selectFrom("hosts").select(["id", "name"]).execute();
  const nameOf = (hostId: string) => named.find(({ id }) => id === hostId)?.name ?? "unknown";
  const hosts = network.members.map(({ hostId, slice, publicKey }) => {
    const report = reports.find((one) => one.hostId === hostId);
    const tunnels = (report?.tunnels ?? []).map(({ environmentId: _its, peer, ...tunnel }) => ({
      ...tunnel,
      to: nameOf(peer),
    }));
    return {
      ...{ hostId, name: nameOf(hostId), slice, publicKey, tunnels },
      wireguard: report?.wireguard ?? null,
      reportedAt: report === undefined ? null : new Date(report.atMs).toISOString(),
    };
  });
  return {
    subnet: network.subnet,
    keyGeneration: network.keyGeneration,
    namesCount: network.names.length,
    hosts: hosts.sort((a, b) => a.name.localeCompare(b.name)),
  };
}
