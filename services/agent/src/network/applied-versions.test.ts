/** What a host says that it holds to. */
import { expect, test } from "vitest";
import { environmentId, held } from "../testing/test-networks.ts";
import { type AppliedVersion, AppliedVersions } from "./applied-versions.ts";
import type { HeldNetwork } from "./core/network-state.ts";

const [own, other] = [environmentId(0), environmentId(1)];

function hears() {
  const told: AppliedVersion[] = [];
  return { applied: new AppliedVersions((versions) => told.push(...versions)), told };
}

const at = (version: number, rest: Partial<HeldNetwork["network"]> = {}): HeldNetwork => {
  const one = held(0, 2);
  return { ...one, network: { ...one.network, version, ...rest } };
};

test("a version is told once it holds, and again when it is asked for", () => {
  const { applied, told } = hears();
  applied.note([at(3)], new Set(), new Set([own]));
  expect(told).toEqual([]);
  applied.note([at(3)], new Set([own]), new Set([own]));
  applied.note([at(3)], new Set([own]), new Set([own]));
  expect(told).toEqual([{ environmentId: own, version: 3 }]);
  applied.again();
  expect(told).toHaveLength(2);
});

test("a link holds when the host is in the other side's network, where jobs of this one run", () => {
  const { applied, told } = hears();
  const link = { environmentId: other, name: "shop.live.acme", port: 80, instances: [] };
  applied.note([at(4, { links: [link] })], new Set([own]), new Set([own]));
  expect(told).toEqual([]);
  applied.note([at(4, { links: [link] })], new Set([own, other]), new Set([own]));
  expect(told).toEqual([{ environmentId: own, version: 4 }]);
});

test("other names are held to by who held to the version before, and by nobody else", () => {
  const { applied, told } = hears();
  applied.noteNames(own, 3, 4);
  expect(told).toEqual([]);
  applied.note([at(3)], new Set([own]), new Set());
  applied.noteNames(own, 2, 4);
  applied.noteNames(own, 3, 4);
  expect(told.map(({ version }) => version)).toEqual([3, 4]);
});

test("what is left is not told of", () => {
  const { applied, told } = hears();
  applied.note([{ ...at(3), state: "leaving" }], new Set([own]), new Set());
  expect(told).toEqual([]);
});
