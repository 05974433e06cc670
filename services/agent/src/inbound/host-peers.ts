/** The list of hosts: asked for until it came, then told on every change. */
import { GetHostPeers, HostPeersChanged } from "@berth/shared/contracts/host.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import type { HostNetwork } from "../outbound/host-network.ts";

export function onHostPeers(bus: Bus, network: HostNetwork, log: Log) {
  return bus.on(HostPeersChanged, {}, async ({ revision, peers }) => {
    await network
      .setPeers(revision, peers)
      .catch((error: unknown) => log.error("network.peers-failed", { error: describeError(error) }));
  });
}

/** Asks once; the caller repeats. Routes that stand already stay when nobody answers. */
export async function askHostPeers(bus: Bus, hostId: HostId, network: HostNetwork): Promise<void> {
  const { revision, peers } = await bus.request(GetHostPeers, { hostId });
  await network.setPeers(revision, peers);
}
