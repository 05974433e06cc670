import type { InstanceName } from "@berth/shared/contracts/network.ts";
import { expect, test } from "vitest";
import { deferNames } from "./defer-names.ts";

const name = (slot: number, more: Partial<InstanceName> = {}): InstanceName => ({
  ...{ service: "shop", process: "web" as InstanceName["process"], slot, address: `10.128.0.${slot}` },
  ...more,
});
const names = (count: number) => Array.from({ length: count }, (_, i) => name(i + 1));
const content = (list: readonly InstanceName[], more: object = {}) => ({
  ...{
    subnet: "10.128.0.0/19",
    keyGeneration: 0,
    members: [],
    links: [],
    egress: { mode: "open", rules: [] },
  },
  ...{ gateway: null, names: list, ...more },
});

/** From a table that was told `ageMs` ago to the next one. */
function defer(before: object, after: object, ageMs: number, table = "env_1") {
  const told = new Map([[table, { name: table, version: 1, content: before, ageMs }]]);
  const { now, againInMs } = deferNames([{ name: table, version: 2, content: after }], told);
  return { told: now.length === 1, againInMs };
}
const NOW = { told: true, againInMs: null };

test("more instances of known processes rest in proportion to the table, a second at most", () => {
  expect(defer(content(names(2)), content(names(3)), 30)).toEqual({ told: false, againInMs: 70 });
  expect(defer(content(names(2)), content(names(3)), 100)).toEqual(NOW);
  expect(defer(content(names(60)), content(names(61)), 400)).toEqual({ told: false, againInMs: 600 });
});

test.each([
  ["a process's first instance", names(3), [...names(3), name(1, { process: "worker" as never })]],
  ["a service's first instance", names(3), [...names(3), name(1, { service: "cart" })]],
  ["the first of all", [], names(1)],
  ["one that goes", names(3), names(2)],
  ["one that moved", names(3), [...names(2), name(3, { address: "10.128.1.3" })]],
])("%s is told at once", (_what, before, after) => {
  expect(defer(content(before), content(after), 0)).toEqual(NOW);
});

test("what changes besides names is told at once, and so is the mesh", () => {
  expect(defer(content(names(3)), content(names(4), { keyGeneration: 1 }), 0)).toEqual(NOW);
  expect(defer({ hosts: [1] }, { hosts: [1, 2] }, 0, "mesh")).toEqual(NOW);
});
