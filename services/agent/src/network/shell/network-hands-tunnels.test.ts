/**
 * A tunnel that a step changed is asked by the next look, long before all of them are asked again; one that got new sockets
 * is to hear of itself alone again.
 */
import { silentLog } from "@berth/shared/kit/log.ts";
import { expect, test } from "vitest";
import { desire, held } from "../../testing/test-networks.ts";
import { afterStep } from "../core/after-step.ts";
import { type ObservedHost, planNetwork } from "../core/plan-network.ts";
import { type HandsGiven, NetworkHands } from "./network-hands.ts";

const nothing: ObservedHost = {
  ...{ engineNetworks: [], links: new Set(), addresses: new Map(), tunnels: [], routes: [] },
  rulePriorities: [],
};

test("what was done to a tunnel is looked at by the next look", async () => {
  const steps = planNetwork(desire(2, held(0, 2), held(1, 2)), nothing);
  const { tunnels } = steps.reduce(afterStep, nothing);
  const asked: string[][] = [];
  const wireguard = {
    observe: async (names: readonly string[]) => {
      asked.push([...names]);
      return tunnels;
    },
    observeOne: async (name: string) => {
      asked.push([name]);
      return tunnels.find((one) => one.name === name) ?? null;
    },
  };
  const interfaces = tunnels.map(({ name }) => ({ name, kind: "wireguard", addresses: [], mtu: 1420 }));
  const filter = { table: { text: "", turn: 0 }, chains: "" };
  const kernel = {
    look: async () => ({ interfaces, routes: [], rulePriorities: [], filter }),
    run: async () => undefined,
  };
  const noted: string[] = [];
  const quiet = { setPodCidr() {}, keepTunnels() {}, noteTunnel: (name: string) => void noted.push(name) };
  const hands = new NetworkHands({
    ...{ kernel, wireguard, quiet, podId: "pod", nowMs: () => 0, log: silentLog },
    engine: { networks: async () => [] },
  } as unknown as HandsGiven);
  const { host } = await hands.look();
  expect(asked).toEqual([tunnels.map(({ name }) => name)]);
  await hands.look();
  expect(asked).toHaveLength(1);
  const change = steps.findLast((step) => step.kind === "configure-tunnel");
  if (change === undefined) throw new Error("the plan configures no tunnel");
  await hands.carryOut([change], host);
  await hands.look();
  expect(asked.slice(1)).toEqual([[change.tunnel.name]]);
  expect(noted).toEqual([change.tunnel.name]);
  const ofPeers = { ...change, changes: { peers: [], people: [], removed: ["KEY"] } };
  await hands.carryOut([ofPeers], host);
  expect(noted).toHaveLength(1);
});
