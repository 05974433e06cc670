/** When a tunnel counts as dead, and what is done then. */
import { expect, test } from "vitest";
import {
  healing,
  healWaitMs,
  judgePeer,
  noteProbe,
  probesPerRound,
  STALL_AFTER_MS,
  summarize,
  WINDOW_COUNT,
  type Window,
} from "./judge-peer.ts";

test.each([
  ["an answer lately", { nowMs: 100_000, sinceMs: 0, heardAtMs: 99_000 }, "up"],
  ["just made, nothing heard yet", { nowMs: 5000, sinceMs: 0, heardAtMs: null }, "starting"],
  ["made long ago, nothing ever heard", { nowMs: STALL_AFTER_MS, sinceMs: 0, heardAtMs: null }, "stalled"],
  [
    "heard once, silent since",
    { nowMs: 100_000, sinceMs: 0, heardAtMs: 100_000 - STALL_AFTER_MS },
    "stalled",
  ],
  ["just healed", { nowMs: 100_000, sinceMs: 99_000, heardAtMs: 10_000 }, "starting"],
])("%s", (_name, look, expected) => {
  expect(judgePeer(look)).toBe(expected);
});

test("healing tries the peer twice, then a new key, and waits longer each time", () => {
  expect([0, 1, 2, 3].map(healing)).toEqual(["renew-peer", "renew-peer", "new-key", "renew-peer"]);
  const waits = [0, 1, 2, 3, 4, 5, 6, 7].map(healWaitMs);
  expect(waits).toEqual(waits.toSorted((a, b) => a - b));
  expect(waits.at(-1)).toBe(300_000);
});

test("a window keeps the last probes, and its median leaves the lost ones out", () => {
  let window: Window = [];
  for (let i = 0; i < WINDOW_COUNT + 5; i += 1) window = noteProbe(window, i % 2 === 0 ? null : 3);
  expect(summarize(window)).toEqual({ latencyMs: 3, sentCount: WINDOW_COUNT, lostCount: 10 });
  expect(summarize([])).toEqual({ latencyMs: null, sentCount: 0, lostCount: 0 });
});

test("few tunnels are asked in each round, many in turn, and never more than forty at once", () => {
  expect([0, 3, 10, 40, 100, 1000].map(probesPerRound)).toEqual([0, 3, 10, 10, 20, 40]);
});
