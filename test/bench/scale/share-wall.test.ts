import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { shareOut } from "./bare-arm.ts";
import { shareWall } from "./share-wall.ts";

const stage = (name: string, startedAtMs: number, endedAtMs: number) => ({ name, startedAtMs, endedAtMs });

describe("shareWall", () => {
  test("an instant with two jobs under way is half of each one's stage", () => {
    const intervals = [stage("create", 1000, 1010), stage("start", 1005, 1025), stage("start", 1015, 1025)];
    expect(shareWall(intervals, 1000, 50)).toEqual({
      stages: [
        { name: "create", ms: 7.5, medianMs: 10 },
        { name: "start", ms: 17.5, medianMs: 15 },
      ],
      coveredShare: 0.5,
    });
  });

  test("what lies before the request or after the last answer does not count", () => {
    const intervals = [stage("auction", 900, 1010), stage("ready", 1090, 1300), stage("late", 1100, 1200)];
    expect(shareWall(intervals, 1000, 100)).toEqual({
      stages: [
        { name: "auction", ms: 10, medianMs: 10 },
        { name: "ready", ms: 10, medianMs: 10 },
      ],
      coveredShare: 0.2,
    });
  });

  test("the stages add up to the covered time, which is never more than the wall time", () => {
    const interval = fc
      .tuple(
        fc.constantFrom("a", "b", "c"),
        fc.integer({ min: 0, max: 900 }),
        fc.integer({ min: 0, max: 300 }),
      )
      .map(([name, from, length]) => stage(name, from, from + length));
    fc.assert(
      fc.property(fc.array(interval, { maxLength: 40 }), (intervals) => {
        const { stages, coveredShare } = shareWall(intervals, 100, 500);
        const sumMs = stages.reduce((sum, { ms }) => sum + ms, 0);
        expect(sumMs).toBeCloseTo(coveredShare * 500, 6);
        expect(coveredShare).toBeLessThanOrEqual(1);
      }),
    );
  });
});

test.each([
  [90, 3, [30, 30, 30]],
  [1, 3, [1, 0, 0]],
  [4, 3, [2, 1, 1]],
])("%d replicas over %d engines", (count, parts, shares) => {
  expect(shareOut(count, parts)).toEqual(shares);
});
