/** Networks of a host as the tests of the planner see them. */
import { OPEN_EGRESS } from "@berth/shared/domain/egress-policy.ts";
import type { EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";
import { type FirewallView, firewallTable } from "../network/core/firewall.ts";
import { type DesiredHost, desiredHost, type HeldNetwork } from "../network/core/network-state.ts";
import { wholeText } from "../network/core/nft-table.ts";

export const rulesText = (view: FirewallView): string => wholeText(firewallTable(view));

export const key = (n: number) => `${"A".repeat(40)}${String(n).padStart(2, "0")}A=`;
export const hostId = (n: number) => `hst_${String(n).padStart(26, "0")}` as HostId;
export const environmentId = (n: number) => `env_${String(n).padStart(26, "0")}` as EnvironmentId;
export const identity = {
  hostId: hostId(1),
  podId: "pod-test",
  nodeAddress: "10.0.0.1",
  subnet: "10.127.1.0/24",
  meshPort: 7426,
  mtu: 1420,
};

/** Environment n with the hosts 1 … members. */
export function held(n: number, members: number): HeldNetwork {
  return {
    format: 1,
    environmentId: environmentId(n),
    keys: { privateKey: `private-${n}`, publicKey: key(n) },
    keyGeneration: 0,
    state: "joined",
    network: {
      environmentId: environmentId(n),
      version: 1,
      subnet: `10.128.${n * 32}.0/19`,
      keyGeneration: 0,
      names: [],
      links: [],
      egress: OPEN_EGRESS,
      gateway: null,
      members: Array.from({ length: members }, (_, i) => ({
        hostId: hostId(i + 1),
        slice: `10.128.${n * 32 + i}.0/24`,
        publicKey: key(n * 8 + i),
        nodeAddress: `10.0.0.${i + 1}`,
        port: 21_000 + n,
      })),
    },
  };
}

export function desire(hosts: number, ...networks: HeldNetwork[]): DesiredHost {
  return desireResting(null, hosts, ...networks);
}

/** @param resting environments whose tunnels nobody uses; null: it was not told */
export function desireResting(
  resting: ReadonlySet<string> | null,
  hosts: number,
  ...networks: HeldNetwork[]
): DesiredHost {
  const mesh = {
    version: 1,
    podCidr: "10.128.0.0/10",
    hostCidr: "10.127.0.0/16",
    hosts: Array.from({ length: hosts }, (_, i) => ({
      hostId: hostId(i + 1),
      nodeAddress: `10.0.0.${i + 1}`,
      subnet: `10.127.${i + 1}.0/24`,
      publicKey: key(90 + i),
      port: 7426,
      slices: networks.flatMap(({ network }) =>
        network.members.filter((one) => one.hostId === hostId(i + 1)).map(({ slice }) => slice),
      ),
    })),
  };
  const desired = desiredHost(
    identity,
    { format: 1, keys: { privateKey: "mesh", publicKey: key(90) }, mesh },
    networks,
    resting,
  );
  if (desired === null) throw new Error("a mesh was told");
  return desired;
}
