import { expect, test } from "vitest";
import { answeredAgain, ChangingPeriod, isResting, leadsOthers, restingEnvironments } from "./host-rest.ts";

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

test("an environment rests where all of it sleeps, unless it leads others or something here is linked to it", () => {
  const job = (environmentId: string, state: "asleep" | "running") =>
    ({
      state,
      sleep: state === "asleep" ? order : null,
      stopWanted: false,
      spec: { environmentId },
    }) as never;
  const network = (environmentId: string, more: object = {}) => ({
    ...{ environmentId, subnet: `of ${environmentId}`, exit: { kind: "own" }, tunnel: { people: [] } },
    ...more,
  });
  const all = [
    ...[network("sleeps"), network("half"), network("awake"), network("empty"), network("linked")],
    ...[network("leads", { exit: { kind: "gateway" } }), network("visited", { tunnel: { people: [{}] } })],
  ];
  const desired = { networks: all, linkSources: [{ subnet: "of linked", gateway: "" }] } as never;
  const records = [
    ...["sleeps", "sleeps", "half", "linked", "leads", "visited"].map((id) => job(id, "asleep")),
    ...["half", "awake"].map((id) => job(id, "running")),
  ];
  expect([...restingEnvironments(records, desired)]).toEqual(["sleeps"]);
  expect(restingEnvironments(records, null).size).toBe(0);
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

test("what costs much is asked once in a while", () => {
  let [nowMs, asked] = [5, 0];
  const ask = answeredAgain(
    10,
    () => nowMs,
    () => ++asked,
  );
  expect([ask(), ask()]).toEqual([1, 1]);
  nowMs = 14;
  expect(ask()).toBe(1);
  nowMs = 15;
  expect([ask(), ask()]).toEqual([2, 2]);
});
