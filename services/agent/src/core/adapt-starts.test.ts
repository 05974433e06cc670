import fc from "fast-check";
import { expect, test } from "vitest";
import { adaptStarts, newPace, type StartPace } from "./adapt-starts.ts";

const times = (count: number, pace: StartPace, tookMs: (limit: number) => number): StartPace => {
  let now = pace;
  for (let at = 0; at < count; at++) {
    const inFlightCount = Math.floor(now.limit);
    now = adaptStarts(now, { tookMs: tookMs(inFlightCount), inFlightCount, failed: false });
  }
  return now;
};

test("an engine that takes no longer for several at once is given the most", () => {
  expect(times(60, newPace(8), () => 150).limit).toBe(8);
});

test("an engine that gets worse than one after another is given fewer", () => {
  const seenAlone = adaptStarts(newPace(8), { tookMs: 100, inFlightCount: 1, failed: false });
  expect(times(60, seenAlone, (limit) => 100 * limit ** 2).limit).toBeLessThan(4);
});

test("one round of starts that hang cuts once, not once each", () => {
  const full: StartPace = { limit: 8, mostCount: 8, bestMs: 100, sinceCutCount: 8 };
  let now = full;
  for (let at = 0; at < 4; at++) now = adaptStarts(now, { tookMs: 8000, inFlightCount: 8, failed: true });
  expect(now.limit).toBe(4);
});

test("what does not use the limit does not raise it", () => {
  const pace = newPace(8);
  expect(adaptStarts(pace, { tookMs: 100, inFlightCount: 1, failed: false }).limit).toBe(pace.limit);
});

test("whatever is seen, the limit stays within 1 and the most, and good starts raise it again", () => {
  const seen = fc.record({
    tookMs: fc.integer({ min: 1, max: 60_000 }),
    inFlightCount: fc.integer({ min: 1, max: 8 }),
    failed: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(seen, { maxLength: 60 }), fc.integer({ min: 1, max: 8 }), (list, most) => {
      let pace = newPace(most);
      for (const one of list) {
        pace = adaptStarts(pace, one);
        expect(pace.limit).toBeGreaterThanOrEqual(1);
        expect(pace.limit).toBeLessThanOrEqual(most);
      }
      expect(times(2000, pace, () => 1).limit).toBe(most);
    }),
  );
});
