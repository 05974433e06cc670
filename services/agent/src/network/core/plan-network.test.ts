/** The plan: nothing to do where all is right, and carrying it out makes it right. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  desire,
  desireResting,
  environmentId,
  held,
  hostId,
  key,
  rulesText,
} from "../../testing/test-networks.ts";
import { afterStep, withoutTunnel } from "./after-step.ts";
import { type NetworkStep, type ObservedHost, planNetwork, withFewRemovals } from "./plan-network.ts";
import { isOurRule, routes, routingRules } from "./routing.ts";

const nothing: ObservedHost = {
  engineNetworks: [],
  links: new Set(),
  addresses: new Map(),
  tunnels: [],
  routes: [],
  rulePriorities: [],
};

/** What the kernel shows after the steps. */
const carryOut = (observed: ObservedHost, steps: readonly NetworkStep[]): ObservedHost =>
  steps.reduce(afterStep, observed);

const anyWorld = fc
  .record({
    hosts: fc.integer({ min: 1, max: 3 }),
    environments: fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { maxLength: 5 }),
  })
  .map(({ hosts, environments }) => desire(hosts, ...environments.map((n) => held(n, hosts))));

describe("the plan", () => {
  test("from any state, one round makes it right, and then there is nothing to do", () => {
    fc.assert(
      fc.property(anyWorld, anyWorld, (before, now) => {
        const stood = carryOut(nothing, planNetwork(before, nothing));
        expect(planNetwork(before, stood)).toEqual([]);
        const stands = carryOut(stood, planNetwork(now, stood));
        expect(planNetwork(now, stands)).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });

  test("a tunnel that rests, or wakes, is told so alone; an agent that does not know yet leaves all as they are", () => {
    const both = [held(0, 2), held(1, 2)];
    const rests = desireResting(new Set([environmentId(1)]), 2, ...both);
    const awake = desireResting(new Set(), 2, ...both);
    const stood = carryOut(nothing, planNetwork(awake, nothing));
    const told = (steps: readonly NetworkStep[]) =>
      steps.map((step) => [step.kind, "tunnel" in step && step.tunnel.keepsAlive]);
    expect(told(planNetwork(rests, stood))).toEqual([["configure-tunnel", false]]);
    const resting = carryOut(stood, planNetwork(rests, stood));
    expect(planNetwork(rests, resting)).toEqual([]);
    expect(planNetwork(desire(2, ...both), resting)).toEqual([]);
    expect(told(planNetwork(awake, resting))).toEqual([["configure-tunnel", true]]);
  });

  test("nothing desired takes everything away", () => {
    fc.assert(
      fc.property(anyWorld, (before) => {
        const stood = carryOut(nothing, planNetwork(before, nothing));
        const left = carryOut(stood, planNetwork(null, stood));
        expect(left).toMatchObject({ engineNetworks: [], tunnels: [], routes: [], rulePriorities: [] });
        expect(left.links.size).toBe(0);
      }),
    );
  });

  test("few bridges and tunnels go at once, and in some rounds all do", () => {
    const all = desire(2, held(0, 2), held(1, 2), held(2, 2));
    let now = carryOut(nothing, planNetwork(all, nothing));
    const left = () => now.engineNetworks.length + now.links.size;
    const wanted = desire(2, held(3, 2));
    for (const [turn, expected] of [8, 6, 4].entries()) {
      const steps = withFewRemovals(planNetwork(wanted, now), 2, turn);
      now = carryOut(now, steps);
      expect(now.engineNetworks.map(({ name }) => name)).toContain(wanted.networks[0]?.engineNetwork);
      expect(left()).toBeLessThanOrEqual(expected);
    }
    expect(planNetwork(wanted, now)).toEqual([]);
  });

  test("a tunnel whose process died is made and configured again; the others are not touched", () => {
    const desired = desire(2, held(0, 2), held(1, 2));
    const stood = carryOut(nothing, planNetwork(desired, nothing));
    const [, dead] = desired.networks;
    const name = dead?.tunnelName ?? "";
    const died = {
      ...stood,
      links: new Set([...stood.links].filter((one) => one !== name)),
      tunnels: withoutTunnel(stood, name),
    };
    const steps = planNetwork(desired, died);
    expect(steps.map(({ kind }) => kind)).toEqual(["make-tunnel", "configure-tunnel", "set-address"]);
    expect(steps.every((step) => "tunnel" in step && step.tunnel.name === name)).toBe(true);
  });

  test("an interface that is there but does not answer is made again", () => {
    const desired = desire(2, held(0, 2));
    const stood = carryOut(nothing, planNetwork(desired, nothing));
    const hung = { ...stood, tunnels: stood.tunnels.filter(({ name }) => !name.startsWith("wb-")) };
    expect(planNetwork(desired, hung).map(({ kind }) => kind)).toContain("make-tunnel");
  });

  test("another host's new address or key configures, and makes nothing anew", () => {
    const stood = carryOut(nothing, planNetwork(desire(2, held(0, 2)), nothing));
    const moved = held(0, 2);
    const members = moved.network.members.map((one) =>
      one.hostId === hostId(2) ? { ...one, nodeAddress: "10.0.0.77", publicKey: key(55) } : one,
    );
    const steps = planNetwork(desire(2, { ...moved, network: { ...moved.network, members } }), stood);
    const [host2] = stood.tunnels.find(({ name }) => name.startsWith("wb-"))?.peers ?? [];
    expect(steps).toMatchObject([
      {
        kind: "configure-tunnel",
        changes: {
          peers: [{ publicKey: key(55), nodeAddress: "10.0.0.77" }],
          people: [],
          removed: [host2?.publicKey],
        },
      },
    ]);
  });

  test("the only host of a pod has no tunnel at all", () => {
    const steps = planNetwork(desire(1, held(0, 1)), nothing);
    expect(new Set(steps.map(({ kind }) => kind))).toEqual(new Set(["add-rule", "make-bridge"]));
  });
});

describe("what does not grow", () => {
  test("routing rules and lines of the packet filter are as many for fifty environments as for one", () => {
    const view = (count: number) => {
      const desired = desire(
        3,
        ...Array.from({ length: count }, (_, n) => ({ ...held(0, 3), environmentId: environmentId(n) })),
      );
      return { ...desired, allowedPrivate: [], mailRelays: [], proxies: [] };
    };
    expect(routingRules(view(50))).toEqual(routingRules(view(1)));
    expect(rulesText(view(50)).split("\n").length).toBe(rulesText(view(1)).split("\n").length);
    expect(routes(view(50)).length).toBe(52);
  });
});

describe("a gateway", () => {
  const address = "203.0.113.40";
  const leaving = (gatewayHost: number, members: number) => {
    const one = held(1, members);
    return desire(3, {
      ...one,
      network: { ...one.network, gateway: { hostId: hostId(gatewayHost), address } },
    });
  };

  test("another host: its tunnel leads anywhere, by a table and a rule of the environment's own", () => {
    const desired = leaving(2, 3);
    const [network] = desired.networks;
    expect(network?.exit).toEqual({ kind: "through", table: 11_001 });
    const allowed = network?.tunnel?.peers.map(({ hostId: its, allowedIps }) => [its, allowedIps.length]);
    expect(allowed).toEqual([
      [hostId(2), 2],
      [hostId(3), 1],
    ]);
    const way = { table: 11_001, to: "default", device: network?.tunnelName, source: null };
    expect(routes(desired)).toContainEqual(way);
    const rule = { priority: 11_001, words: ["iif", network?.bridge, "lookup", "11001"] };
    expect(routingRules(desired).at(-1)).toEqual(rule);
    // It comes and goes whole.
    const stood = carryOut(nothing, planNetwork(desired, nothing));
    expect(planNetwork(desired, stood)).toEqual([]);
    const left = carryOut(stood, planNetwork(desire(3, held(1, 3)), stood));
    expect(left.rulePriorities).not.toContain(11_001);
    expect(left.routes.some(({ table }) => table === 11_001)).toBe(false);
  });

  test("another's rule in the same range is not ours", () => {
    const rule = { priority: 11_001, iif: "bn-aaaaaaaaaa", table: "11001" };
    expect(isOurRule(rule)).toBe(true);
    expect(isOurRule({ ...rule, iif: "eth1" })).toBe(false);
    expect(isOurRule({ ...rule, table: "main" })).toBe(false);
    expect(isOurRule({ priority: 11_001, table: "11001" })).toBe(false);
    expect(isOurRule({ priority: 7405 })).toBe(true);
  });

  test("this host: no table, no wider tunnel, one address", () => {
    const desired = leaving(1, 3);
    expect(desired.networks[0]?.exit).toEqual({ kind: "gateway", address });
    expect(desired.networks[0]?.tunnel?.peers.every(({ allowedIps }) => allowedIps.length === 1)).toBe(true);
    expect(routingRules(desired)).toEqual(routingRules(desire(3)));
  });

  test("a host that is not in the network yet: there is no way out", () => {
    const desired = leaving(9, 2);
    expect(desired.networks[0]?.exit.kind).toBe("through");
    expect(desired.networks[0]?.tunnel?.peers.every(({ allowedIps }) => allowedIps.length === 1)).toBe(true);
  });
});
