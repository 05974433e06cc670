import { expect, test } from "vitest";
import { formatDuration, parseDuration } from "./parse-duration.ts";

test.each([
  ["15s", 15_000],
  ["2m", 120_000],
  ["1500ms", 1500],
  ["1h", 3_600_000],
  ["never", null],
] as const)("%s is read and written", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
  expect(formatDuration(ms)).toBe(text);
});

test.each(["", "15", "15 s", "-1s", "1.5s", "soon"])("%j is no length of time", (text) => {
  expect(parseDuration(text)).toBe(undefined);
});
