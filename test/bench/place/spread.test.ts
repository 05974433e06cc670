import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseCpuSeconds } from "../kit/cpu.ts";
import { peakToMean, percentile, placeLargestFirst } from "./spread.ts";

const lots = fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 60 });

describe("placing with foresight", () => {
  test.each([
    [[3, 3, 2, 2, 2], 2, [7, 5]],
    [[5, 5, 5, 5], 4, [5, 5, 5, 5]],
    [[1], 3, [1, 0, 0]],
  ])("%j on %i hosts: %j", (given, hosts, loads) => {
    expect(placeLargestFirst(given, hosts)).toEqual(loads);
  });

  test("loses nothing, and the peak is within a largest lot of the mean", () => {
    fc.assert(
      fc.property(lots, fc.integer({ min: 1, max: 10 }), (given, hosts) => {
        const loads = placeLargestFirst(given, hosts);
        const sum = given.reduce((total, lot) => total + lot, 0);
        expect(loads.reduce((total, load) => total + load, 0)).toBe(sum);
        expect(Math.max(...loads)).toBeLessThanOrEqual(sum / hosts + Math.max(...given));
        expect(peakToMean(loads)).toBeGreaterThanOrEqual(1);
      }),
    );
  });
});

describe("percentile", () => {
  test.each([
    [[5], 0.99, 5],
    [[4, 1, 3, 2], 0.5, 2],
    [Array.from({ length: 200 }, (_, n) => n + 1), 0.99, 198],
  ])("of %j at %d is %d", (values, share, expected) => {
    expect(percentile(values, share)).toBe(expected);
  });

  test("of nothing is refused", () => {
    expect(() => percentile([], 0.5)).toThrow(RangeError);
    expect(() => peakToMean([])).toThrow(RangeError);
  });
});

test("a process's CPU seconds are counted after its name, whatever the name holds", () => {
  const fields = ["S", "1", "1", "1", "0", "-1", "0", "0", "0", "0", "0", "150", "50", "20", "30", "20", "0"];
  expect(parseCpuSeconds(`77 (od d) na(me) ${fields.join(" ")}`)).toBe(2.5);
});
