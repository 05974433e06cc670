/**
 * Which way a packet to a container or to another host's edge takes. One list of rules, whatever there is.
 *
 *   what the host itself sends   → its own bridges, else the mesh: the edge's requests, with the mesh address
 *   what a container sends       → its own bridge, else its environment's tunnel
 *   a probe                      → the environment's tunnel, although the host sends it
 *   no way                       → unreachable: never by the default route, so never in clear
 *   out of the pod               → the default route; with a gateway elsewhere, the environment's tunnel to it
 *
 * What does not come from the host itself needs the mark of our packet filter to find a container. The kernel looks
 * for the way back as well, by the same rules, before it passes a packet on (rp_filter with src_valid_mark): so when our
 * filter is away, nothing passes the host into a bridge or out of it, to wherever. What a container sends to the host
 * itself is not held by this, but by iptables.
 */
import { parseCidr } from "@berth/shared/domain/cidr.ts";
import { PROBE_PORT, SOUND_MARK } from "./firewall.ts";
import { type DesiredHost, isExitTable } from "./network-state.ts";

export const MESH_TABLE = 7420;
export const TUNNEL_TABLE = 7421;
const FIRST = 7400;
const COUNT = 20;

export interface RoutingRule {
  readonly priority: number;
  /** Arguments of `ip rule add`. */
  readonly words: readonly string[];
}

type Ranges = Pick<DesiredHost, "podCidr" | "hostCidr" | "meshName" | "networks">;

export function routingRules({ podCidr, hostCidr, meshName, networks }: Ranges): RoutingRule[] {
  const bits = parseCidr(podCidr)?.bits ?? 0;
  const marked = ["fwmark", `${SOUND_MARK}/${SOUND_MARK}`];
  const [toPod, toHosts] = [
    ["to", podCidr],
    ["to", hostCidr],
  ];
  // Only the bridges' own routes of the main table: wider ones lead out of the host in clear.
  const ownBridges = ["lookup", "main", "suppress_prefixlength", String(bits)];
  const mesh = ["lookup", String(MESH_TABLE)];
  const tunnels = ["lookup", String(TUNNEL_TABLE)];
  const ways = [
    ["iif", "lo", ...toPod, ...ownBridges],
    [...marked, ...toPod, ...ownBridges],
    ["iif", "lo", ...toPod, "ipproto", "udp", "dport", String(PROBE_PORT), ...tunnels],
    ["iif", "lo", ...toPod, ...mesh],
    // Only the way back of what came through the mesh.
    ["iif", meshName, ...toPod, ...mesh],
    [...marked, ...toPod, ...tunnels],
    [...toPod, "unreachable"],
    [...toHosts, ...mesh],
    [...toHosts, "unreachable"],
  ];
  return [...ways.map((words, i) => ({ priority: FIRST + i, words })), ...exitRules(networks)];
}

/** One for each environment with a gateway elsewhere: it decides after all that stays in the pod was decided. */
function exitRules(networks: DesiredHost["networks"]): RoutingRule[] {
  return networks.flatMap(({ bridge, exit }) =>
    exit.kind === "through"
      ? [{ priority: exit.table, words: ["iif", bridge, "lookup", String(exit.table)] }]
      : [],
  );
}

export interface FoundRule {
  readonly priority: number;
  /** Name of the interface that it is for, if any. */
  readonly iif?: string | undefined;
  readonly table?: string | undefined;
}

/** In the wide range of exits others have rules too: ours is for a bridge of ours and leads to the table of its number. */
export function isOurRule({ priority, iif, table }: FoundRule): boolean {
  const isExit = isExitTable(priority) && iif?.startsWith("bn-") === true && table === String(priority);
  return isOurPriority(priority) || isExit;
}

function isOurPriority(priority: number): boolean {
  return priority >= FIRST && priority < FIRST + COUNT;
}

export interface Route {
  readonly table: number;
  readonly to: string;
  readonly device: string;
  readonly source: string | null;
}

export function routes(desired: DesiredHost): Route[] {
  const { mesh, meshAddress: source, podCidr, hostCidr, networks } = desired;
  const ofMesh =
    mesh === null
      ? []
      : [podCidr, hostCidr].map((to) => ({ table: MESH_TABLE, to, device: mesh.name, source }));
  const ofTunnels = networks.flatMap(({ tunnel, subnet, gateway }) =>
    tunnel === null ? [] : [{ table: TUNNEL_TABLE, to: subnet, device: tunnel.name, source: gateway }],
  );
  const ofExits = networks.flatMap(({ tunnel, exit }) =>
    tunnel === null || exit.kind !== "through"
      ? []
      : [{ table: exit.table, to: "default", device: tunnel.name, source: null }],
  );
  // What the host itself answers to a person's machine: names.
  const ofPeople = networks.flatMap(({ tunnel, gateway }) =>
    (tunnel?.people ?? []).map(({ address }) => ({
      ...{ table: MESH_TABLE, to: address, device: tunnel?.name ?? "", source: gateway },
    })),
  );
  return [...ofMesh, ...ofTunnels, ...ofExits, ...ofPeople];
}
