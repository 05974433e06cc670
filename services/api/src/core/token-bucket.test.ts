import { expect, test } from "vitest";
import type { Bucket } from "./token-bucket.ts";
import { takeToken } from "./token-bucket.ts";

test("a burst, then the rate", () => {
  const size = { capacity: 3, perSecond: 10 };
  let bucket: Bucket | undefined;
  const take = (nowMs: number) => {
    const taken = takeToken(bucket, size, nowMs);
    bucket = taken.bucket;
    return taken.waitMs;
  };
  expect([take(0), take(0), take(0)]).toEqual([0, 0, 0]);
  expect(take(0)).toBe(100);
  expect(take(50)).toBe(50);
  expect(take(100)).toBe(0);
  expect(take(100)).toBe(100);
  expect([take(10_000), take(10_000), take(10_000)]).toEqual([0, 0, 0]);
  expect(take(10_000)).toBeGreaterThan(0);
});

test("a clock that steps back gives nothing away", () => {
  const first = takeToken(undefined, { capacity: 1, perSecond: 1 }, 1000);
  expect(takeToken(first.bucket, { capacity: 1, perSecond: 1 }, 0).waitMs).toBe(1000);
});
