import { expect, test } from "vitest";
import { parseCpuTimes, readCpuTimes, stolenShare } from "./stolen.ts";

test("the share that others had of what all cores had, guests not counted twice", () => {
  const before = parseCpuTimes("cpu  100 0 50 800 10 0 10 30 40 0\ncpu0 1 2 3\n");
  const after = parseCpuTimes("cpu  150 0 60 830 10 0 10 40 90 0\n");
  expect(before).toEqual({ all: 1000, stolen: 30 });
  expect(stolenShare(before, after)).toBeCloseTo(0.1);
  expect(stolenShare(after, after)).toBe(0);
});

test("this machine's", () => {
  const now = readCpuTimes();
  expect(now.all).toBeGreaterThan(0);
  expect(now.stolen).toBeGreaterThanOrEqual(0);
});
