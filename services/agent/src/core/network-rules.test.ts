import { expect, test } from "vitest";
import { iptablesRules, isSoundPeer, nftRules } from "./network-rules.ts";

const view = {
  bridge: "berth0",
  table: "berth",
  subnet: "10.210.1.0/24",
  nodeAddresses: ["10.99.0.1", "10.99.0.2"],
  peerAddresses: ["10.99.0.2"],
  subnets: ["10.210.1.0/24", "10.210.2.0/24"],
};

test("the rules replace the whole table in one text and keep containers from hosts, neighbours and metadata", () => {
  const rules = nftRules(view);
  expect(rules).toContain("delete table inet berth\ntable inet berth {");
  for (const part of ["169.254.0.0/16", "@nodes", "@subnets", "tcp dport 25", "ip saddr != 10.210.1.0/24"])
    expect(rules).toContain(part);
});

test("only peers' edges are accepted into the bridge", () => {
  expect(iptablesRules(view, "BERTH-BERTH0").split("\n")).toEqual([
    "*filter",
    ":BERTH-BERTH0 - [0:0]",
    "-A BERTH-BERTH0 -s 10.99.0.2/32 -o berth0 -j ACCEPT",
    "COMMIT",
    "",
  ]);
});

test.each([
  ["10.99.0.2", "10.210.2.0/24", true],
  ["10.99.0.2; rm -rf /", "10.210.2.0/24", false],
  ["10.99.0.2", "10.210.2.0/24 }\nflush ruleset", false],
  ["10.99.0.300", "10.210.2.0/24", false],
  ["10.99.0.2", "0.0.0.0/0", false],
])("peer %j %j is sound: %s", (nodeAddress, subnet, sound) => {
  expect(isSoundPeer({ hostId: "h", nodeAddress, subnet })).toBe(sound);
});
