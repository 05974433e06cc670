/** What an order makes of a host's networks: gateways, links, refusals, people's machines. */
import { describe, expect, test } from "vitest";
import {
  desire,
  environmentId,
  held,
  hostId,
  identity,
  key,
  rulesText,
} from "../../testing/test-networks.ts";
import { neededWithoutJobs } from "./needed-networks.ts";
import { type HeldNetwork, joinNeed, orderProblem, withoutExpired } from "./network-state.ts";
import { routes } from "./routing.ts";

describe("links", () => {
  const linked = (address: string, joined: readonly HeldNetwork[]) => {
    const consumer = held(1, 2);
    const instances = [{ address, ready: false }];
    const links = [{ environmentId: environmentId(2), name: "shop.live.acme", port: 8080, instances }];
    return desire(2, { ...consumer, network: { ...consumer.network, links } }, ...joined);
  };

  test("an instance in the other network is reached from the consumer's bridge, by the host's own address in there", () => {
    const desired = linked("10.128.65.9", [held(2, 2)]);
    const [consumer, provider] = desired.networks;
    expect(desired.links).toEqual([{ bridge: consumer?.bridge, address: "10.128.65.9", port: 8080 }]);
    expect(desired.linkSources).toEqual([{ subnet: "10.128.64.0/19", gateway: provider?.gateway }]);
    const rules = rulesText({ ...desired, allowedPrivate: [], mailRelays: [], proxies: [] });
    expect(rules).toContain(`elements = { "${consumer?.bridge}" . 10.128.65.9 . 8080 };`);
    expect(rules).toContain(`elements = { 10.128.64.0/19 : ${provider?.gateway} };`);
  });

  test.each([
    ["an address that is not in the other network", "10.128.96.9", [held(2, 2)]],
    ["an address of its own network", "10.128.33.9", [held(2, 2)]],
    ["a network that this host is not in", "10.128.65.9", []],
    ["a network that this host leaves", "10.128.65.9", [{ ...held(2, 2), state: "leaving" as const }]],
  ])("%s opens nothing", (_what, address, joined) => {
    expect(linked(address, joined).links).toEqual([]);
  });
});

test("a host stays without jobs for links of those that have some, and as a gateway; links lead no further", () => {
  const linked = (n: number, to: number) => {
    const link = { environmentId: environmentId(to), name: "a.b.c", port: 80, instances: [] };
    return { ...held(n, 1), network: { ...held(n, 1).network, links: [link] } };
  };
  const led = held(5, 1);
  const gateway = { hostId: hostId(1), address: "203.0.113.40" };
  const all = [linked(1, 2), linked(2, 1), linked(3, 4), { ...led, network: { ...led.network, gateway } }];
  const needed = (used: readonly number[]) =>
    [...neededWithoutJobs(all, new Set(used.map(environmentId)), hostId(1))].sort();
  expect(needed([1])).toEqual([environmentId(2), environmentId(5)]);
  expect(needed([])).toEqual([environmentId(5)]);
  expect([...neededWithoutJobs(all, new Set(), hostId(2))]).toEqual([]);
});

describe("an order", () => {
  const podCidr = "10.128.0.0/10";
  const told = held(1, 2).network;

  test.each([
    ["as promised", told, [held(0, 2)], ["192.168.0.0/24"], null],
    [
      "the subnet of another environment",
      told,
      [{ ...held(1, 2), environmentId: environmentId(9) }],
      [],
      "overlaps 10.128.32.0/19 of",
    ],
    ["a network of the machine", told, [], ["10.128.0.0/16"], "a network of this machine"],
    ["outside of the pod's range", { ...told, subnet: "10.64.0.0/19" }, [], [], "outside of the pod's"],
    [
      "a slice outside of the subnet",
      { ...told, subnet: "10.128.64.0/19" },
      [],
      [],
      "outside of 10.128.64.0/19",
    ],
    [
      "another host's slice is ours",
      { ...told, members: told.members.map((one) => ({ ...one, slice: "10.128.32.0/24" })) },
      [],
      [],
      "is this host's too",
    ],
  ])("%s", (_name, network, holding, foreign, expected) => {
    const problem = orderProblem(network, identity.hostId, podCidr, holding, foreign);
    if (expected === null) expect(problem).toBeNull();
    else expect(problem).toContain(expected);
  });
});

describe("a network is joined once more", () => {
  const known: HeldNetwork = { ...held(1, 2), keys: { privateKey: "own", publicKey: key(8) } };

  test("not while the service knows it and the key that this host has", () => {
    expect(joinNeed(known, true, hostId(1))).toBe("none");
  });

  test("where the service does not know it, or knows another key", () => {
    expect(joinNeed(known, false, hostId(1))).toBe("again");
    expect(joinNeed({ ...known, keys: held(2, 1).keys }, true, hostId(1))).toBe("again");
  });

  test("with new keys where a rotation passed this host by", () => {
    const rotated = { ...known, network: { ...known.network, keyGeneration: 3 } };
    expect(joinNeed(rotated, true, hostId(1))).toBe("new-keys");
    expect(joinNeed({ ...rotated, keyGeneration: 3 }, true, hostId(1))).toBe("none");
  });
});

describe("a person's machine", () => {
  const person = { publicKey: key(77), address: "10.128.63.2", expiresAtMs: 1000 };
  const withPerson = (members: number, address = person.address): HeldNetwork => {
    const one = held(1, members);
    return { ...one, network: { ...one.network, people: [{ ...person, address }] } };
  };
  const told = (network: HeldNetwork) =>
    orderProblem(network.network, identity.hostId, "10.128.0.0/10", [], []);

  test("makes a tunnel on an environment's only host, and is a peer of it with one address", () => {
    const [network] = desire(1, withPerson(1)).networks;
    expect(network?.tunnel).toMatchObject({
      peers: [],
      people: [{ publicKey: key(77), address: "10.128.63.2" }],
    });
    expect(desire(1, held(1, 1)).networks[0]?.tunnel).toBeNull();
    const answers = { table: 7420, to: "10.128.63.2", device: network?.tunnelName, source: network?.gateway };
    expect(routes(desire(1, withPerson(1)))).toContainEqual(answers);
  });

  test("is gone at its end by the host's own clock", () => {
    expect(withoutExpired(withPerson(1), 999).network.people).toHaveLength(1);
    expect(withoutExpired(withPerson(1), 1000).network.people).toEqual([]);
    expect(desire(1, withoutExpired(withPerson(1), 1000)).networks[0]?.tunnel).toBeNull();
  });

  test.each(["10.129.0.2", "10.128.32.7"])(
    "at %s, which is not people's, is an order that is refused",
    (address) => {
      expect(told(withPerson(2, address))).toContain(address);
      expect(told(withPerson(2))).toBeNull();
    },
  );

  test("may ask the resolver of its own environment alone: the rules name tunnel and address together", () => {
    const rules = rulesText({
      ...desire(2, withPerson(2), held(2, 2)),
      allowedPrivate: [],
      mailRelays: [],
      proxies: [],
    });
    const chain = rules.split("chain tunnel_to_host {")[1]?.split("}\n")[0] ?? "";
    expect(chain).not.toMatch(/^ *(udp|tcp|ip|meta)/m);
    expect(rules).toContain("set people { type ipv4_addr; elements = { 10.128.63.2 }; }");
    expect(rules).toContain("ip daddr @people ct state new counter drop");
    const leaves = rules.split("chain from_member {")[1]?.split("}\n")[0] ?? "";
    expect(leaves).toContain("ip saddr @people counter drop");
    for (const network of desire(2, withPerson(2), held(2, 2)).networks)
      expect(rules).toContain(`"${network.tunnelName}" . ${network.gateway}`);
  });
});
