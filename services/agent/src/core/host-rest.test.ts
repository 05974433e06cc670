import { expect, test } from "vitest";
import { ChangingPeriod, isResting, leadsOthers } from "./host-rest.ts";

const order = { epoch: 1, level: "stopped" } as const;

test.each([
  ["asleep as it was told", { state: "asleep", sleep: order, stopWanted: false }, true],
  ["frozen", { state: "frozen", sleep: order, stopWanted: false }, true],
  ["woken, and its container still stopped", { state: "asleep", sleep: null, stopWanted: false }, false],
  ["told to sleep, and still running", { state: "running", sleep: order, stopWanted: false }, false],
  ["awarded", { state: "accepted", sleep: null, stopWanted: false }, false],
  ["asleep, and to be removed", { state: "asleep", sleep: order, stopWanted: true }, false],
] as const)("%s", (_what, record, down) => {
  const sleeper = { state: "asleep", sleep: order, stopWanted: false } as const;
  expect(isResting([record])).toBe(down);
  expect(isResting([sleeper, record, sleeper])).toBe(down);
});

test("a host that waits for its first job does not rest", () => expect(isResting([])).toBe(false));

test("a gateway, and a way in for people, lead others", () => {
  const tunnel = { people: [] as object[] };
  const networks = (...all: object[]) => ({ networks: all }) as unknown as Parameters<typeof leadsOthers>[0];
  expect(leadsOthers(null)).toBe(false);
  expect(
    leadsOthers(networks({ exit: { kind: "own" }, tunnel: null }, { exit: { kind: "through" }, tunnel })),
  ).toBe(false);
  expect(leadsOthers(networks({ exit: { kind: "gateway" }, tunnel: null }))).toBe(true);
  expect(leadsOthers(networks({ exit: { kind: "own" }, tunnel: { people: [{}] } }))).toBe(true);
});

test("looks are rare while the period is long, and come at once when it is short", () => {
  const period = new ChangingPeriod();
  expect(period.isDue(30_000, 0)).toBe(true);
  expect(period.isDue(30_000, 29_999)).toBe(false);
  expect(period.isDue(0, 29_999)).toBe(true);
  expect(period.isDue(0, 30_000)).toBe(true);
  expect(period.isDue(30_000, 59_999)).toBe(false);
  expect(period.isDue(30_000, 60_000)).toBe(true);
});
