/**
 * What is to be done so that the host's networks are as they should be.
 *
 * Pure: desired and observed in, steps out, in an order in which each may be carried out. What is right is left
 * alone, so an agent that starts again does nothing to a tunnel that stands.
 */

import type { DesiredHost, DesiredNetwork, Peer, Person, Tunnel } from "./network-state.ts";
import { type Route, type RoutingRule, routes, routingRules } from "./routing.ts";

export interface ObservedPeer {
  readonly publicKey: string;
  /** `address:port`, or null when none is known. */
  readonly endpoint: string | null;
  readonly allowedIps: readonly string[];
  readonly keepsAlive: boolean;
  readonly handshakeAtMs: number;
  readonly rxBytes: number;
  readonly txBytes: number;
}

export interface ObservedTunnel {
  readonly name: string;
  readonly publicKey: string;
  readonly port: number;
  readonly peers: readonly ObservedPeer[];
}

export interface ObservedHost {
  /** The engine's networks that are ours: name → subnet and bridge. */
  readonly engineNetworks: readonly { readonly name: string; readonly subnet: string }[];
  readonly links: ReadonlySet<string>;
  /** Interface → its IPv4 addresses. */
  readonly addresses: ReadonlyMap<string, readonly string[]>;
  /** Tunnels that answer. */
  readonly tunnels: readonly ObservedTunnel[];
  readonly routes: readonly Route[];
  /** Of the rules that are ours. */
  readonly rulePriorities: readonly number[];
}

/** What is to be done to the peers of a tunnel that has its key and port. */
export interface PeerChanges {
  readonly peers: readonly Peer[];
  readonly people: readonly Person[];
  /** Public keys. */
  readonly removed: readonly string[];
}

/** `changes` null: everything of the tunnel is set anew, its port too, which lets go of what is about to arrive there. */
export type NetworkStep =
  | { readonly kind: "add-rule"; readonly rule: RoutingRule }
  | { readonly kind: "remove-rule"; readonly priority: number }
  | { readonly kind: "make-bridge"; readonly network: DesiredNetwork }
  | { readonly kind: "remove-bridge"; readonly engineNetwork: string }
  | { readonly kind: "make-tunnel"; readonly tunnel: Tunnel }
  | { readonly kind: "configure-tunnel"; readonly tunnel: Tunnel; readonly changes: PeerChanges | null }
  | { readonly kind: "set-address"; readonly tunnel: Tunnel }
  | { readonly kind: "remove-tunnel"; readonly name: string }
  | { readonly kind: "set-route"; readonly route: Route }
  | { readonly kind: "remove-route"; readonly route: Route };

/** @param desired null: nothing was ever told, or everything is to go */
export function planNetwork(desired: DesiredHost | null, observed: ObservedHost): NetworkStep[] {
  const tunnels = desired === null ? [] : wantedTunnels(desired);
  const found = new Map(observed.tunnels.map((tunnel) => [tunnel.name, tunnel]));
  return [
    ...planRules(desired, observed),
    ...planBridges(desired?.networks ?? [], observed),
    ...tunnels.flatMap((tunnel) => planTunnel(tunnel, found.get(tunnel.name), observed)),
    ...planRoutes(desired === null ? [] : routes(desired), observed),
    ...removedTunnels(tunnels, observed),
  ];
}

/**
 * So many bridges and tunnels go, the others later: who wants to join does not wait for all of them.
 * @param turn another one each time, so that one that cannot go does not keep the others
 */
export function withFewRemovals(steps: readonly NetworkStep[], most: number, turn: number): NetworkStep[] {
  const removals = steps.filter(({ kind }) => kind === "remove-bridge" || kind === "remove-tunnel");
  const first = removals.length === 0 ? 0 : (turn * most) % removals.length;
  const now = new Set([...removals.slice(first), ...removals.slice(0, first)].slice(0, most));
  return steps.filter((step) => now.has(step) || !removals.includes(step));
}

export function wantedTunnels(desired: DesiredHost): Tunnel[] {
  const ofNetworks = desired.networks.flatMap(({ tunnel }) => (tunnel === null ? [] : [tunnel]));
  return desired.mesh === null ? ofNetworks : [desired.mesh, ...ofNetworks];
}

/** Rules come first and go last: without them packets to containers would take the default route. */
function planRules(desired: DesiredHost | null, { rulePriorities }: ObservedHost): NetworkStep[] {
  const wanted = desired === null ? [] : routingRules(desired);
  const present = new Set(rulePriorities);
  return [
    ...wanted
      .filter(({ priority }) => !present.has(priority))
      .map((rule) => ({ kind: "add-rule" as const, rule })),
    ...rulePriorities
      .filter((priority) => !wanted.some((rule) => rule.priority === priority))
      .map((priority) => ({ kind: "remove-rule" as const, priority })),
  ];
}

/** Networks that the engine does not have, or not with these addresses. */
export function missingBridges(
  networks: readonly DesiredNetwork[],
  engineNetworks: ObservedHost["engineNetworks"],
): DesiredNetwork[] {
  const found = new Set(engineNetworks.map(({ name, subnet }) => `${name} ${subnet}`));
  return networks.filter(({ engineNetwork, slice }) => !found.has(`${engineNetwork} ${slice}`));
}

function planBridges(networks: readonly DesiredNetwork[], { engineNetworks }: ObservedHost): NetworkStep[] {
  const wanted = new Set(networks.map(({ engineNetwork, slice }) => `${engineNetwork} ${slice}`));
  const wrong = engineNetworks.filter(({ name, subnet }) => !wanted.has(`${name} ${subnet}`));
  return [
    ...wrong.map(({ name }) => ({ kind: "remove-bridge" as const, engineNetwork: name })),
    ...missingBridges(networks, engineNetworks).map((network) => ({ kind: "make-bridge" as const, network })),
  ];
}

function planTunnel(
  tunnel: Tunnel,
  found: ObservedTunnel | undefined,
  { links, addresses }: ObservedHost,
): NetworkStep[] {
  const steps: NetworkStep[] = [];
  const stands = found !== undefined && links.has(tunnel.name);
  if (!stands) steps.push({ kind: "make-tunnel", tunnel });
  if (!stands || !isNamed(tunnel, found)) steps.push({ kind: "configure-tunnel", tunnel, changes: null });
  else if (!hasPeers(tunnel, found))
    steps.push({ kind: "configure-tunnel", tunnel, changes: peerChanges(tunnel, found) });
  const { address } = tunnel;
  const hasAddress = (addresses.get(tunnel.name) ?? []).includes(address);
  if (!stands || !hasAddress) steps.push({ kind: "set-address", tunnel });
  return steps;
}

function isNamed({ publicKey, port }: Tunnel, found: ObservedTunnel): boolean {
  return found.publicKey === publicKey && found.port === port;
}

/** Both stay the same values until something changes, so on a full host only what changed is compared again. */
const compared = new WeakMap<Tunnel, { readonly found: ObservedTunnel; readonly hasPeers: boolean }>();

function hasPeers(wanted: Tunnel, found: ObservedTunnel): boolean {
  const before = compared.get(wanted);
  if (before?.found === found) return before.hasPeers;
  const { peers, people, removed } = peerChanges(wanted, found);
  const isSame = peers.length === 0 && people.length === 0 && removed.length === 0;
  compared.set(wanted, { found, hasPeers: isSame });
  return isSame;
}

function peerChanges(wanted: Tunnel, found: ObservedTunnel): PeerChanges {
  const keys = new Set([...wanted.peers, ...wanted.people].map(({ publicKey }) => publicKey));
  return {
    peers: wanted.peers.filter(
      (peer) => !found.peers.some((one) => isPeer(peer, one) && keepsAsWanted(wanted, one)),
    ),
    people: wanted.people.filter((person) => !found.peers.some((one) => isPerson(person, one))),
    removed: found.peers.map(({ publicKey }) => publicKey).filter((key) => !keys.has(key)),
  };
}

function keepsAsWanted({ keepsAlive }: Tunnel, found: ObservedPeer): boolean {
  return keepsAlive === null || found.keepsAlive === keepsAlive;
}

function isPeer(wanted: Peer, found: ObservedPeer): boolean {
  return (
    found.publicKey === wanted.publicKey &&
    found.endpoint === `${wanted.nodeAddress}:${wanted.port}` &&
    [...found.allowedIps].sort().join() === [...wanted.allowedIps].sort().join()
  );
}

function isPerson({ publicKey, address }: Person, found: ObservedPeer): boolean {
  return found.publicKey === publicKey && found.allowedIps.join() === `${address}/32`;
}

function planRoutes(wanted: readonly Route[], { routes: found }: ObservedHost): NetworkStep[] {
  const placeOf = ({ table, to }: Route) => `${table} ${to}`;
  const textOf = (route: Route) => `${placeOf(route)} ${route.device} ${route.source}`;
  const [present, places] = [new Set(found.map(textOf)), new Set(wanted.map(placeOf))];
  return [
    ...wanted
      .filter((route) => !present.has(textOf(route)))
      .map((route) => ({ kind: "set-route" as const, route })),
    ...found
      .filter((route) => !places.has(placeOf(route)))
      .map((route) => ({ kind: "remove-route" as const, route })),
  ];
}

function removedTunnels(wanted: readonly Tunnel[], { links }: ObservedHost): NetworkStep[] {
  const names = new Set(wanted.map(({ name }) => name));
  return [...links]
    .filter((name) => /^w[bm]-/.test(name) && !names.has(name))
    .map((name) => ({ kind: "remove-tunnel" as const, name }));
}
