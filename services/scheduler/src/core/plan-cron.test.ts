import { expect, test } from "vitest";
import { type CronState, planCron } from "./plan-cron.ts";

const cron: CronState = { overlap: "forbid", sinceMs: 1000, handledMs: null, isRunning: false };

test.each([
  ["no instant yet", cron, null, { kind: "nothing" }],
  ["an instant from before it had this schedule", cron, 1000, { kind: "nothing" }],
  ["its first instant", cron, 2000, { kind: "run", instantMs: 2000 }],
  ["an instant that has its run", { ...cron, handledMs: 2000 }, 2000, { kind: "nothing" }],
  [
    "after an outage, the newest of many",
    { ...cron, handledMs: 2000 },
    90_000,
    { kind: "run", instantMs: 90_000 },
  ],
  [
    "while one runs",
    { ...cron, handledMs: 2000, isRunning: true },
    3000,
    { kind: "skip", instantMs: 3000, reason: "the run before it was not over" },
  ],
  [
    "while one runs and may",
    { ...cron, overlap: "allow" as const, isRunning: true },
    3000,
    { kind: "run", instantMs: 3000 },
  ],
])("%s", (_what, state, latestMs, expected) => {
  expect(planCron(state, latestMs)).toEqual(expected);
});
