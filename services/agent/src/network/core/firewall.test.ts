/** The text of the packet filters: one transaction, and what iptables must still hold. */
import { type EgressPolicy, OPEN_EGRESS, parseEgressRule } from "@berth/shared/domain/egress-policy.ts";
import { expect, test } from "vitest";
import { rulesText } from "../../testing/test-networks.ts";
import { iptablesProblems, iptablesRules } from "./firewall.ts";
import type { Exit } from "./network-state.ts";

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
  egress: OPEN_EGRESS as EgressPolicy,
  exit: { kind: "own" } as Exit,
};
const view = {
  podCidr: "10.128.0.0/10",
  hostCidr: "10.127.0.0/16",
  networks: [network],
  links: [{ bridge: "bn-aaaaaaaaaa", address: "10.128.32.2", port: 8080 }],
  linkSources: [{ subnet: "10.128.32.0/19", gateway: "10.128.33.1" }],
  meshName: "wm-pod",
  meshAddress: "10.127.1.1",
  mesh: null,
  edgeAddresses: ["10.127.2.1"],
  nodeAddresses: ["203.0.113.1", "203.0.113.2"],
  allowedPrivate: ["10.20.0.0/16"],
  mailRelays: [],
  proxies: [],
};

test("the rules replace the whole table in one text", () => {
  const rules = rulesText(view);
  expect(rules.startsWith("table inet berth {}\ndelete table inet berth\ntable inet berth {")).toBe(true);
  expect(rules).toContain('"bn-aaaaaaaaaa" . 10.128.1.0/24');
  expect(rules).toContain("elements = { 203.0.113.1, 203.0.113.2 };");
});

test("every chain of containers ends in a drop or after one: nothing falls through to accept but the internet", () => {
  const chain = (name: string) =>
    rulesText(view)
      .split(`chain ${name} {`)[1]
      ?.split("}")[0]
      ?.trim()
      .split("\n")
      .map((line) => line.trim());
  expect(chain("container_to_host")?.at(-1)).toBe("counter drop");
  expect(chain("tunnel_to_host")?.at(-1)).toBe("counter drop");
  expect(chain("mesh_to_host")?.at(-1)).toBe("counter drop");
  expect(chain("from_container")?.slice(-3)).toEqual([
    "iifname . ip daddr @outside goto allow",
    "iifname . ip daddr . meta l4proto . th dport @outside_ports goto allow",
    "counter drop",
  ]);
  // What is closed to all is closed before any policy is looked at, and nothing passes because it passed before.
  expect(chain("from_container")?.slice(0, 3)).toEqual([
    "ip saddr @proxies counter drop",
    "iifname @elsewhere iifname . oifname != @exits counter drop",
    "jump closed_to_all",
  ]);
  expect(chain("from_member")?.slice(0, 3)).toEqual([
    "oifname @ours counter drop",
    "ip saddr @people counter drop",
    "jump closed_to_all",
  ]);
  expect(chain("closed_to_all")).toEqual([
    "ip daddr @nodes counter drop",
    "ip daddr @closed ip daddr != @allowed_private counter drop",
    "tcp dport 25 ip daddr != @mail_relays counter drop",
  ]);
  expect(chain("forward")?.at(-1)).toBe("oifname @ours counter drop");
});

test("between environments nothing passes because it passed before: only links and answers to edges", () => {
  const across = rulesText(view).split("chain across {")[1]?.split("}")[0] ?? "";
  expect(across).not.toContain("established");
  expect(across.trim().split("\n").at(-1)?.trim()).toBe("counter drop");
  expect(rulesText(view)).toContain('elements = { "bn-aaaaaaaaaa" . 10.128.32.2 . 8080 };');
});

const withEgress = (mode: EgressPolicy["mode"], ...texts: string[]) => {
  const rules = texts.map(parseEgressRule).filter((rule) => rule !== null);
  const rendered = rulesText({ ...view, networks: [{ ...network, egress: { mode, rules } }] });
  const of = (name: string) =>
    new RegExp(`set ${name} \\{ type [^;]*;(?: flags interval;)?(.*) \\}`).exec(rendered)?.[1];
  return { open: of("open"), outside: of("outside"), ports: of("outside_ports") };
};

test("an egress policy is elements of sets: open by the bridge, a list by its spans, none by nothing", () => {
  expect(withEgress("open")).toEqual({ open: ' elements = { "bn-aaaaaaaaaa" };', outside: "", ports: "" });
  expect(withEgress("none")).toEqual({ open: "", outside: "", ports: "" });
  expect(withEgress("list", "203.0.113.0/24", "0.0.0.0/0:443", "198.51.100.7:443")).toEqual({
    open: "",
    outside: ' elements = { "bn-aaaaaaaaaa" . 203.0.113.0-203.0.113.255 };',
    ports: ' elements = { "bn-aaaaaaaaaa" . 0.0.0.0-255.255.255.255 . tcp . 443-443 };',
  });
});

test("with a gateway elsewhere only its tunnel leads out; on the gateway the environment has one address", () => {
  const elements = (exit: Exit, name: string) =>
    new RegExp(`(?:set|map) ${name} \\{ type [^;]*;(?: flags interval;)?(.*) \\}`).exec(
      rulesText({ ...view, networks: [{ ...network, exit }] }),
    )?.[1];
  const through: Exit = { kind: "through", table: 11_000 };
  expect(elements(through, "elsewhere")).toBe(' elements = { "bn-aaaaaaaaaa" };');
  expect(elements(through, "exits")).toBe(' elements = { "bn-aaaaaaaaaa" . "wb-aaaaaaaaaa" };');
  expect(elements(through, "entries")).toBe("");
  const gateway: Exit = { kind: "gateway", address: "203.0.113.40" };
  expect(elements(gateway, "exit_addresses")).toBe(" elements = { 10.128.0.0/19 : 203.0.113.40 };");
  expect(elements(gateway, "entries")).toBe(' elements = { "wb-aaaaaaaaaa" };');
  expect(elements(gateway, "elsewhere")).toBe("");
});

test("an open connection passes with few looks where both ends are inside, and nowhere else", () => {
  const closedPairs = (exit: Exit) =>
    /set closed_pairs \{ type [^;]*;(.*) \}/.exec(
      rulesText({ ...view, networks: [{ ...network, exit }] }),
    )?.[1];
  const pairs =
    ' elements = { "bn-aaaaaaaaaa" . "bn-aaaaaaaaaa", "bn-aaaaaaaaaa" . "wb-aaaaaaaaaa", "wb-aaaaaaaaaa" . "bn-aaaaaaaaaa" };';
  expect(closedPairs({ kind: "own" })).toBe(pairs);
  expect(closedPairs({ kind: "gateway", address: "203.0.113.40" })).toBe(pairs);
  // Its egress policy is looked up for every packet, and what it lets through uses the same pairs.
  expect(closedPairs({ kind: "through", table: 11_000 })).toBe("");
  const forward = rulesText(view).split("chain forward {")[1]?.split("}")[0] ?? "";
  const passed = forward.split("\n").filter((line) => line.includes("established"));
  expect(passed.map((line) => line.trim())).toEqual([
    'oifname "wm-pod" iifname @bridges ct direction reply ct state established,related goto allow',
    "iifname . oifname @closed_pairs ct state established ip daddr != @proxies goto allow",
    "oifname @entries ct direction reply ct state established,related goto allow",
  ]);
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

const users = ":DOCKER-USER - [0:0]";

test.each([
  ["an engine without a chain for others' rules", ["-A FORWARD -j BERTH", "-A FORWARD -i docker0 -j ACCEPT"]],
  [
    "our jump is in the chain that the engine keeps first",
    [users, "-A FORWARD -j DOCKER-USER", "-A FORWARD -o bn-x -j DOCKER", "-A DOCKER-USER -j BERTH"],
  ],
])("iptables is right: %s", (_name, forward) => {
  expect(iptablesProblems(saved(forward))).toEqual({ chains: false, jumps: [] });
});

const [inForward, inUsers] = ["FORWARD", "DOCKER-USER"].map((parent) => ({ parent, chain: "BERTH" }));

test.each([
  ["the engine came before us", ["-A FORWARD -o bn-x -j DOCKER", "-A FORWARD -j BERTH"], [inForward]],
  ["somebody took it out", ["-A FORWARD -i docker0 -j ACCEPT"], [inForward]],
  ["not yet in the engine's chain", [users, "-A FORWARD -j DOCKER-USER"], [inUsers]],
  [
    "a rule of somebody else came first in it",
    [users, "-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -j ACCEPT", "-A DOCKER-USER -j BERTH"],
    [inUsers],
  ],
  ["FORWARD was flushed", [users, "-A DOCKER-USER -j BERTH"], [inForward]],
  [
    "the engine's chain is not first in it",
    [users, "-A FORWARD -o bn-x -j DOCKER", "-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -j BERTH"],
    [inForward],
  ],
])("a jump is put back: %s", (_name, forward, jumps) => {
  expect(iptablesProblems(saved(forward)).jumps).toEqual(jumps);
});

test("a flushed chain is seen", () => {
  const flushed = saved(["-A FORWARD -j BERTH"])
    .split("\n")
    .filter((line) => !line.startsWith("-A BERTH "));
  expect(iptablesProblems(flushed.join("\n")).chains).toBe(true);
});

test("a proxy is connected to by edges alone, and connects to its environment alone", () => {
  const rules = rulesText({ ...view, proxies: ["10.128.1.254"] });
  const first = (name: string) => rules.split(`chain ${name} {`)[1]?.split("\n").slice(1, 4).join("\n");
  expect(first("from_container")).toContain("ip saddr @proxies counter drop");
  expect(first("across")).toContain("ip saddr @proxies ct direction original counter drop");
  expect(first("container_to_host")).toContain("ip saddr @proxies counter drop");
  expect(first("inside")).toContain("ip daddr @proxies ct direction original counter drop");
  expect(rules).toMatch(/set proxies \{[^}]*10\.128\.1\.254/);
});
