import fc from "fast-check";
import { expect, test } from "vitest";
import { planBuildGarbage, usedPercent } from "./plan-build-garbage.ts";

const HOUR_MS = 3_600_000;
const LIMITS = { layersKeptMs: 168 * HOUR_MS, layersBytes: 1000, pressurePercent: 85 };

test("by age as a rule, cut down while the disk is too full; a disk that cannot be seen is not full", () => {
  const rule = {
    isFull: false,
    layersKeptMs: 168 * HOUR_MS,
    layersBytes: 1000,
    servicesKeptMs: 720 * HOUR_MS,
    leftoversKeptMs: HOUR_MS + 900_000,
  };
  expect(planBuildGarbage({ totalBytes: 100, freeBytes: 16 }, LIMITS, 900_000)).toEqual(rule);
  expect(planBuildGarbage(null, LIMITS, 900_000)).toEqual(rule);
  expect(planBuildGarbage({ totalBytes: 100, freeBytes: 15 }, LIMITS, 900_000)).toEqual({
    isFull: true,
    layersKeptMs: HOUR_MS,
    layersBytes: 100,
    servicesKeptMs: 24 * HOUR_MS,
    leftoversKeptMs: HOUR_MS + 900_000,
  });
});

test("property: a fuller disk never keeps more, and what a running build has is never old enough", () => {
  const disk = fc.record({ totalBytes: fc.nat(1000), freeBytes: fc.nat(1000) });
  fc.assert(
    fc.property(disk, disk, fc.integer({ min: 1, max: 24 * HOUR_MS }), (one, other, timeoutMs) => {
      const [fuller, emptier] = usedPercent(one) >= usedPercent(other) ? [one, other] : [other, one];
      const [less, more] = [fuller, emptier].map((each) => planBuildGarbage(each, LIMITS, timeoutMs));
      expect(less?.layersBytes).toBeLessThanOrEqual(more?.layersBytes ?? 0);
      expect(less?.layersKeptMs).toBeLessThanOrEqual(more?.layersKeptMs ?? 0);
      expect(less?.servicesKeptMs).toBeLessThanOrEqual(more?.servicesKeptMs ?? 0);
      expect(less?.leftoversKeptMs).toBeGreaterThan(timeoutMs);
    }),
  );
});
