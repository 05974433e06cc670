import { Autoscale } from "@berth/shared/domain/autoscale.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decideScale, GROW_REST_MS } from "./autoscale.ts";

const rule = Autoscale.parse({ min: 2, max: 8, requests: 10, cooldownMs: 60_000 });
const calm = { changedAtMs: 0, cpuShare: null };

test.each([
  ["more requests than it can take", 4, 55, 6, "55 requests in flight, 10 per instance, ask for 6"],
  ["never more than twice as many and one at once", 2, 80, 5, /ask for 8$/],
  ["not past its limit", 8, 500, 8, /ask for 50, at most 8 are allowed/],
  ["fewer, one by one", 6, 12, 5, "12 requests in flight, 10 per instance, ask for 2"],
  ["not fewer without something to spare", 3, 19, 3, /ask for 3/],
  ["at least as many as are asked for", 1, 0, 2, /at least 2/],
  ["at most as many as are allowed", 12, 500, 8, /at most 8/],
])("%s", (_what, current, inFlight, to, reason) => {
  const decided = decideScale({ rule, current, load: { inFlight, cpuShare: null }, changedAtMs: 0 }, 100_000);
  expect(decided).toEqual({
    to,
    reason: typeof reason === "string" ? reason : expect.stringMatching(reason),
  });
});

test("what asks for more wins, and nothing gets fewer by what is not known", () => {
  const both = { ...rule, cpu: 50 };
  const at = (inFlight: number | null, cpuShare: number | null) =>
    decideScale({ rule: both, current: 4, load: { inFlight, cpuShare }, changedAtMs: 0 }, 100_000);
  expect(at(5, 0.9)).toMatchObject({ to: 8, reason: "90 % CPU of 4, 50 % per instance, ask for 8" });
  expect(at(5, 0.1)).toMatchObject({ to: 3 });
  expect(at(5, null)).toMatchObject({ to: 4, reason: expect.stringContaining("not known") });
  expect(at(70, null)).toMatchObject({ to: 7 });
  expect(at(null, null)).toMatchObject({ to: 4, reason: expect.stringContaining("not known") });
});

test("it cools down: sooner for more than for fewer", () => {
  const at = (inFlight: number, nowMs: number) =>
    decideScale({ rule, current: 4, load: { inFlight, cpuShare: calm.cpuShare }, changedAtMs: 0 }, nowMs);
  expect(at(60, GROW_REST_MS - 1)).toMatchObject({
    to: 4,
    reason: expect.stringContaining("cools down for 1 s"),
  });
  expect(at(60, GROW_REST_MS).to).toBe(6);
  expect(at(2, 59_999).to).toBe(4);
  expect(at(2, 60_000).to).toBe(3);
});

const rules = fc
  .record({
    min: fc.integer({ min: 1, max: 10 }),
    more: fc.integer({ min: 0, max: 20 }),
    requests: fc.constantFrom(null, 0.5, 3, 20),
    cpu: fc.constantFrom(null, 30, 80),
    cooldownMs: fc.integer({ min: 10_000, max: 300_000 }),
  })
  .filter(({ requests, cpu }) => requests !== null || cpu !== null)
  .map(({ min, more, ...rest }) => Autoscale.parse({ min, max: min + more, ...rest }));
const load = fc.record({
  inFlight: fc.option(fc.double({ min: 0, max: 400, noNaN: true })),
  /** Of all instances together, in CPUs. */
  cpus: fc.option(fc.double({ min: 0, max: 20, noNaN: true })),
});

describe("whatever the load does", () => {
  /** Plays looks of 10 s. @returns the counts after each */
  function play(
    given: Autoscale,
    loads: readonly { inFlight: number | null; cpus: number | null }[],
    start: number,
  ) {
    let [current, changedAtMs, nowMs] = [start, 0, 1_000_000];
    const counts: { count: number; atMs: number }[] = [];
    for (const { inFlight, cpus } of loads) {
      nowMs += 10_000;
      const cpuShare = cpus === null ? null : cpus / current;
      const { to } = decideScale({ rule: given, current, load: { inFlight, cpuShare }, changedAtMs }, nowMs);
      if (to !== current) changedAtMs = nowMs;
      current = to;
      counts.push({ count: to, atMs: nowMs });
    }
    return counts;
  }

  test("the count stays within its limits, changes keep their distance, and nothing shrinks without knowledge", () => {
    fc.assert(
      fc.property(rules, fc.array(load, { minLength: 1, maxLength: 60 }), (given, loads) => {
        const counts = play(given, loads, given.min);
        let [before, changedAtMs] = [given.min, Number.NEGATIVE_INFINITY];
        counts.forEach(({ count, atMs }, i) => {
          expect(count).toBeGreaterThanOrEqual(given.min);
          expect(count).toBeLessThanOrEqual(given.max);
          const { inFlight, cpus } = loads[i] ?? { inFlight: null, cpus: null };
          const unknown =
            (given.requests !== null && inFlight === null) || (given.cpu !== null && cpus === null);
          if (unknown) expect(count).toBeGreaterThanOrEqual(before);
          if (count !== before) {
            expect(atMs - changedAtMs).toBeGreaterThanOrEqual(
              count > before ? Math.min(GROW_REST_MS, given.cooldownMs) : given.cooldownMs,
            );
            changedAtMs = atMs;
          }
          before = count;
        });
      }),
      { numRuns: 500 },
    );
  });

  test("a steady load comes to a steady count that carries it, from wherever it starts", () => {
    fc.assert(
      fc.property(rules, load, fc.integer({ min: 1, max: 30 }), (given, steady, start) => {
        const counts = play(given, Array(1200).fill(steady), start).map(({ count }) => count);
        const last = counts.at(-1) ?? 0;
        expect(new Set(counts.slice(-60)), "it goes up and down for ever").toEqual(new Set([last]));
        const asked = Math.max(
          given.requests === null || steady.inFlight === null ? 0 : steady.inFlight / given.requests,
          given.cpu === null || steady.cpus === null ? 0 : (steady.cpus * 100) / given.cpu,
        );
        expect(last).toBeGreaterThanOrEqual(Math.min(given.max, Math.ceil(asked - 1e-6)));
      }),
      { numRuns: 200 },
    );
  });
});
