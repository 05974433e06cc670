import { expect, test } from "vitest";
import { latestInstantMs, nextInstantMs } from "./cron.ts";

const at = (text: string) => Date.parse(text);
const told = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());

test.each([
  ["15 3 * * *", "UTC", "2026-05-01T03:15:00.500Z", "2026-05-01T03:15:00.000Z", "2026-05-02T03:15:00.000Z"],
  [
    "15 3 * * *",
    "Europe/Berlin",
    "2026-05-01T12:00:00Z",
    "2026-05-01T01:15:00.000Z",
    "2026-05-02T01:15:00.000Z",
  ],
  ["0 9 * * 1-5", "UTC", "2026-05-03T12:00:00Z", "2026-05-01T09:00:00.000Z", "2026-05-04T09:00:00.000Z"],
  ["@daily", "UTC", "2026-05-03T12:00:00Z", "2026-05-03T00:00:00.000Z", "2026-05-04T00:00:00.000Z"],
  // The first of the month, and besides every Monday, as cron has it.
  ["0 0 1 * mon", "UTC", "2026-05-03T12:00:00Z", "2026-05-01T00:00:00.000Z", "2026-05-04T00:00:00.000Z"],
])("%s in %s at %s", (schedule, timezone, now, latest, next) => {
  expect(told(latestInstantMs(schedule, timezone, at(now)))).toBe(latest);
  expect(told(nextInstantMs(schedule, timezone, at(now)))).toBe(next);
});

test("when the clock goes back an hour, what is due once a day is due once", () => {
  const after = at("2026-10-25T06:00:00Z");
  const latest = latestInstantMs("30 2 * * *", "Europe/Berlin", after);
  const before = latestInstantMs("30 2 * * *", "Europe/Berlin", latest ?? 0);
  expect(told(before)).toBe("2026-10-24T00:30:00.000Z");
});

test("a day that never comes has no instant", () => {
  expect(nextInstantMs("0 0 30 2 *", "UTC", at("2026-05-01T00:00:00Z"))).toBeNull();
});
