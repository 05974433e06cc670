/** The list of hosts: asked for until it came, then told on every change. Containers reach none of them. */
import { GetHostPeers, HostPeersChanged } from "@berth/shared/contracts/host.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import type { HostNetworks } from "../network/host-networks.ts";

interface Neighbour {
  readonly nodeAddress: string;
}

export function onHostPeers(bus: Bus, networks: HostNetworks, log: Log) {
  return bus.on(HostPeersChanged, {}, async ({ revision, peers }) => {
    await take(networks, revision, peers).catch((error: unknown) =>
      log.error("network.peers-failed", { error: describeError(error) }),
    );
  });
}

/**
 * Asks once, and tells this host's own address: who may use its subject is who it is, at whatever address.
 * The caller repeats. What stands already stays when nobody answers.
 */
export async function askHostPeers(
  bus: Bus,
  { hostId, nodeAddress }: { readonly hostId: HostId; readonly nodeAddress: string },
  networks: HostNetworks,
): Promise<void> {
  const { revision, peers } = await bus.request(GetHostPeers, { hostId, nodeAddress });
  await take(networks, revision, peers);
}

const IPV4 = /^(\d{1,3}\.){3}\d{1,3}$/;

/** What is not an address would be a command in the rules' text: it is left out. */
async function take(networks: HostNetworks, revision: number, peers: readonly Neighbour[]): Promise<void> {
  const addresses = peers.map(({ nodeAddress }) => nodeAddress).filter((address) => IPV4.test(address));
  await networks.setNeighbours(revision, addresses);
}
