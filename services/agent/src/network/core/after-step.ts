/**
 * What a host has after a step that was carried out, so that the next change needs no look at all of its networks.
 * Pure, and the same when it is told twice: a look may have seen the step's work already. It is a belief: what somebody
 * else changes is seen by the next look.
 */
import type { Tunnel } from "./network-state.ts";
import type { NetworkStep, ObservedHost, ObservedPeer, ObservedTunnel } from "./plan-network.ts";
import type { Route } from "./routing.ts";

export function afterStep(now: ObservedHost, step: NetworkStep): ObservedHost {
  switch (step.kind) {
    case "add-rule":
      return { ...now, rulePriorities: [...new Set([...now.rulePriorities, step.rule.priority])] };
    case "remove-rule":
      return { ...now, rulePriorities: now.rulePriorities.filter((one) => one !== step.priority) };
    case "make-bridge":
      return {
        ...now,
        engineNetworks: [
          ...now.engineNetworks.filter(({ name }) => name !== step.network.engineNetwork),
          { name: step.network.engineNetwork, subnet: step.network.slice },
        ],
      };
    case "remove-bridge":
      return { ...now, engineNetworks: now.engineNetworks.filter(({ name }) => name !== step.engineNetwork) };
    case "make-tunnel": {
      const fresh: ObservedTunnel = { name: step.tunnel.name, publicKey: "", port: 0, peers: [] };
      return {
        ...now,
        links: new Set([...now.links, step.tunnel.name]),
        tunnels: [...withoutTunnel(now, step.tunnel.name), fresh],
      };
    }
    case "configure-tunnel": {
      const { name, publicKey, port } = step.tunnel;
      const configured = { name, publicKey, port, peers: peersOf(step.tunnel) };
      return { ...now, tunnels: [...withoutTunnel(now, name), configured] };
    }
    case "set-address":
      return {
        ...now,
        addresses: new Map([...now.addresses, [step.tunnel.name, [step.tunnel.address]]]),
      };
    case "remove-tunnel":
      return {
        ...now,
        links: new Set([...now.links].filter((name) => name !== step.name)),
        tunnels: withoutTunnel(now, step.name),
        routes: now.routes.filter(({ device }) => device !== step.name),
      };
    case "set-route":
      return {
        ...now,
        routes: [...now.routes.filter((one) => !isSameWay(one, step.route)), step.route],
      };
    case "remove-route":
      return { ...now, routes: now.routes.filter((one) => !isSameWay(one, step.route)) };
  }
}

function isSameWay(a: Route, b: Route): boolean {
  return a.table === b.table && a.to === b.to;
}

export function withoutTunnel(now: ObservedHost, name: string): ObservedTunnel[] {
  return now.tunnels.filter((tunnel) => tunnel.name !== name);
}

function peersOf({ peers, people, keepsAlive }: Tunnel): ObservedPeer[] {
  const silent = { handshakeAtMs: 0, rxBytes: 0, txBytes: 0 };
  return [
    ...peers.map(({ publicKey, nodeAddress, port, allowedIps }) => ({
      ...{ publicKey, endpoint: `${nodeAddress}:${port}`, allowedIps, ...silent },
      keepsAlive: keepsAlive !== false,
    })),
    ...people.map(({ publicKey, address }) => ({
      ...{ publicKey, endpoint: null, allowedIps: [`${address}/32`], ...silent },
      keepsAlive: false,
    })),
  ];
}
