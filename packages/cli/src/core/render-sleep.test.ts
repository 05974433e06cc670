import { expect, test } from "vitest";
import { coldStartLines, sleepLine } from "./render-sleep.ts";

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

test("why tells where the last wake's time went", () => {
  expect(coldStartLines({ lastColdStartMs: 420.4, lastColdStart })).toEqual([
    ...["its last wake took 420 ms:", "  notice  5 ms, 1 %", "  start   300 ms, 71 %"],
    ...["  listen  100 ms, 24 %", "  settle  16 ms, 4 %"],
  ]);
  expect(coldStartLines({ lastColdStartMs: 7, lastColdStart: [] })).toEqual([
    "its last wake took 7 ms; no host told where they went",
  ]);
  expect(coldStartLines({ lastColdStartMs: null, lastColdStart: [...lastColdStart] })).toEqual([]);
  expect(coldStartLines(undefined)).toEqual([]);
});
