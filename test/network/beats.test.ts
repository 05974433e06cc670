import { expect, test } from "vitest";
import { answeredShare, backAfterMs, gapsOf, longestGapMs } from "./beats.ts";

/** One every 100 ms; a dot is one without an answer. */
const beats = (text: string) =>
  [...text].map((letter, i) => ({ atMs: i * 100, tookMs: letter === "." ? null : 5 }));

test("a gap is from the last answered one to the next answered one", () => {
  expect(gapsOf(beats("xx.....xx"))).toEqual([{ startedAtMs: 105, endedAtMs: 705 }]);
  expect(longestGapMs(beats("xx.....xx......x"))).toBe(700);
});

test("a single one that was lost is no gap, and neither is the silence after the end", () => {
  expect(gapsOf(beats("xx.xx..xx....."))).toEqual([]);
});

test("back is the first answer after the moment", () => {
  expect(backAfterMs(beats("xx....xx"), 150)).toBe(455);
  expect(backAfterMs(beats("xx...."), 150)).toBeNull();
});

test("what was held up on the way and came late is still a gap", () => {
  const held = [
    { atMs: 0, tookMs: 5 },
    { atMs: 100, tookMs: 2000 },
    { atMs: 200, tookMs: 1900 },
  ];
  expect(gapsOf(held)).toEqual([{ startedAtMs: 5, endedAtMs: 2100 }]);
});

test("the share counts what was sent in the window only", () => {
  expect(answeredShare(beats("....x.xx"), 400, 800)).toBe(0.75);
  expect(answeredShare([], 0, 1000)).toBe(0);
});
