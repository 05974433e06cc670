import { expect, test } from "vitest";
import { sleepLine } from "./render-sleep.ts";

const sleep = { level: "stopped", cause: "idle", sinceMs: 0, lastColdStartMs: 420.4 } as const;
const lastColdStart = [
  { name: "notice", ms: 4.6 },
  { name: "start", ms: 300 },
  { name: "listen", ms: 100 },
  { name: "settle", ms: 15.8 },
];

test.each([
  ["awake", "awake; it last woke in 420 ms (notice 5, start 300, listen 100, settle 16)"],
  ["falling", "falling asleep (nobody asked for it)"],
  ["waking", "waking"],
] as const)("%s", (state, line) => {
  expect(sleepLine({ ...sleep, state, lastColdStart }, 60_000)).toBe(line);
});

test("a wake that no host told of, and one that never slept", () => {
  expect(sleepLine({ ...sleep, state: "awake", lastColdStart: [] }, 0)).toBe("awake; it last woke in 420 ms");
  expect(sleepLine({ ...sleep, state: "awake", lastColdStartMs: null, lastColdStart: [] }, 0)).toBe("awake");
});
