import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { estimate, median, ratios } from "./statistics.ts";

const samples = fc.array(fc.double({ min: 0.001, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 15 });

describe("median", () => {
  test.each([
    [[3], 3],
    [[1, 2], 1.5],
    [[9, 1, 5], 5],
    [[4, 1, 3, 2], 2.5],
  ])("of %j is %d", (values, expected) => {
    expect(median(values)).toBe(expected);
  });

  test("of nothing is refused", () => {
    expect(() => median([])).toThrow(RangeError);
  });

  test("does not depend on the order, and does not change its argument", () => {
    fc.assert(
      fc.property(samples, (values) => {
        const before = [...values];
        expect(median(values.toReversed())).toBe(median(values));
        expect(values).toEqual(before);
      }),
    );
  });
});

describe("estimate", () => {
  test("the interval holds the median and stays inside the values", () => {
    fc.assert(
      fc.property(samples, (values) => {
        const { median: middle, low, high, n } = estimate(values);
        expect(n).toBe(values.length);
        expect(low).toBeLessThanOrEqual(middle);
        expect(high).toBeGreaterThanOrEqual(middle);
        expect(low).toBeGreaterThanOrEqual(Math.min(...values));
        expect(high).toBeLessThanOrEqual(Math.max(...values));
      }),
      { numRuns: 10 },
    );
  });

  test("equal values leave no doubt, spread ones leave more", () => {
    expect(estimate([2, 2, 2, 2])).toEqual({ median: 2, low: 2, high: 2, n: 4 });
    const narrow = estimate([0.99, 1, 1.01, 1, 1, 0.99, 1.01]);
    const wide = estimate([0.5, 1, 1.5, 0.8, 1, 0.6, 1.4]);
    expect(wide.high - wide.low).toBeGreaterThan(narrow.high - narrow.low);
  });

  test("the same values give the same interval", () => {
    const values = [1.1, 0.9, 1.3, 1.05, 1, 1.2, 0.95];
    expect(estimate(values)).toEqual(estimate(values));
  });
});

test("ratios are per pair", () => {
  expect(ratios([2, 9], [1, 3])).toEqual([2, 3]);
  expect(() => ratios([1], [])).toThrow(RangeError);
});
