/** The text of the packet filters: one transaction, and what iptables must still hold. */
import { expect, test } from "vitest";
import { iptablesProblems, iptablesRules, nftRules } from "./firewall.ts";

const network = {
  environmentId: "env_1" as never,
  bridge: "bn-aaaaaaaaaa",
  tunnelName: "wb-aaaaaaaaaa",
  engineNetwork: "berth-env_1",
  subnet: "10.128.0.0/19",
  slice: "10.128.1.0/24",
  gateway: "10.128.1.1",
  mtu: 1420,
  tunnel: null,
};
const view = {
  podCidr: "10.128.0.0/10",
  hostCidr: "10.127.0.0/16",
  networks: [network],
  meshName: "wm-pod",
  meshAddress: "10.127.1.1",
  mesh: null,
  edgeAddresses: ["10.127.2.1"],
  nodeAddresses: ["203.0.113.1", "203.0.113.2"],
  allowedPrivate: ["10.20.0.0/16"],
};

test("the rules replace the whole table in one text", () => {
  const rules = nftRules(view);
  expect(rules.startsWith("table inet berth {}\ndelete table inet berth\ntable inet berth {")).toBe(true);
  expect(rules).toContain('"bn-aaaaaaaaaa" . 10.128.1.0/24');
  expect(rules).toContain("elements = { 203.0.113.1, 203.0.113.2 };");
});

test("every chain of containers ends in a drop or after one: nothing falls through to accept but the internet", () => {
  const chain = (name: string) =>
    nftRules(view)
      .split(`chain ${name} {`)[1]
      ?.split("}")[0]
      ?.trim()
      .split("\n")
      .map((line) => line.trim());
  expect(chain("container_to_host")?.at(-1)).toBe("counter drop");
  expect(chain("tunnel_to_host")?.at(-1)).toBe("counter drop");
  expect(chain("mesh_to_host")?.at(-1)).toBe("counter drop");
  expect(chain("from_container")?.slice(-3)).toEqual([
    "ip daddr @closed counter drop",
    "tcp dport 25 counter drop",
    "goto allow",
  ]);
  expect(chain("forward")?.at(-1)).toBe("oifname @ours counter drop");
});

const saved = (forward: readonly string[]) =>
  [
    ...iptablesRules()
      .split("\n")
      .filter((line) => line !== "COMMIT"),
    "-A INPUT -j BERTH-IN",
    ...forward,
    "COMMIT",
  ].join("\n");

test("iptables is right while our jumps stand before the engine's rules", () => {
  expect(iptablesProblems(saved(["-A FORWARD -j BERTH", "-A FORWARD -j DOCKER-USER"]))).toEqual({
    chains: false,
    jumps: [],
  });
});

test.each([
  ["the engine came before us", ["-A FORWARD -j DOCKER-USER", "-A FORWARD -j BERTH"]],
  ["somebody took it out", ["-A FORWARD -j DOCKER-USER"]],
])("a jump is put back: %s", (_name, forward) => {
  expect(iptablesProblems(saved(forward)).jumps).toEqual([{ parent: "FORWARD", chain: "BERTH" }]);
});

test("a flushed chain is seen", () => {
  const flushed = saved(["-A FORWARD -j BERTH"])
    .split("\n")
    .filter((line) => !line.startsWith("-A BERTH "));
  expect(iptablesProblems(flushed.join("\n")).chains).toBe(true);
});
