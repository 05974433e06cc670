/** Environment networks on the bus: what this host asks, and what it is told. */
import {
  GetNetworks,
  JoinMesh,
  JoinNetwork,
  LeaveNetwork,
  MeshChanged,
  NetworkApplied,
  NetworkChanged,
  NetworkReport,
} from "@berth/shared/contracts/network.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import type { HostNetworks } from "../network/host-networks.ts";
import type { NetworkAsk } from "../network/host-networks-given.ts";
import type { Wireguard } from "../network/shell/wireguard.ts";
import type { TunnelWatch } from "../network/tunnel-watch.ts";

/** Of more tunnels or networks than a word may have, the first are told: enough to see that something is wrong. */
const MOST_TOLD = 2000;

export function networkAsk(bus: Bus, hostId: HostId): NetworkAsk {
  return {
    join: (asked) => bus.request(JoinNetwork, { hostId, ...asked }),
    leave: async (environmentId) => {
      await bus.request(LeaveNetwork, { hostId, environmentId });
    },
    joinMesh: async (publicKey, port) => (await bus.request(JoinMesh, { hostId, publicKey, port })).mesh,
    get: (known, meshVersion) => bus.request(GetNetworks, { hostId, known, meshVersion }),
    applied: (versions) =>
      bus.signal(NetworkApplied, {
        hostId,
        versions: versions.slice(0, MOST_TOLD).map((one) => ({ ...one })),
      }),
  };
}

export function onNetworkChanged(bus: Bus, hostId: HostId, networks: HostNetworks, log: Log) {
  return bus.on(NetworkChanged, { hostId }, async ({ network }) => {
    await networks
      .take(network)
      .catch((error: unknown) =>
        log.warn("network.not-taken", { environmentId: network.environmentId, error: describeError(error) }),
      );
  });
}

export function onMeshChanged(bus: Bus, networks: HostNetworks, log: Log) {
  return bus.on(MeshChanged, {}, async ({ mesh }) => {
    await networks
      .takeMesh(mesh)
      .catch((error: unknown) => log.warn("mesh.not-taken", { error: describeError(error) }));
  });
}

export function tellTunnels({ clock }: { readonly clock: Clock }, given: ReportGiven): void {
  const { bus, host, networks, tunnels, wireguard } = given;
  networks.tellApplied();
  bus.signal(NetworkReport, {
    hostId: host.hostId,
    atMs: clock.nowMs(),
    wireguard: wireguard.kind,
    tunnels: tunnels.reports.slice(0, MOST_TOLD),
  });
}

interface ReportGiven {
  readonly bus: Bus;
  readonly host: { readonly hostId: HostId };
  readonly networks: HostNetworks;
  readonly tunnels: TunnelWatch;
  readonly wireguard: Wireguard;
}
