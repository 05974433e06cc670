import { expect, test } from "vitest";
import { makeTimeline } from "./timeline.ts";

const stage = (startedAtMs: number, endedAtMs: number, name = "s") => ({
  name,
  owner: "git",
  startedAtMs,
  endedAtMs,
});

test.each([
  ["one stage over all", [stage(0, 100)], 1],
  ["overlapping stages count once", [stage(0, 60), stage(40, 80), stage(10, 20)], 0.8],
  ["a gap lowers the share", [stage(0, 25), stage(75, 100)], 0.5],
  ["outside of the wall time does not count", [stage(-50, 10), stage(90, 200)], 0.2],
  ["no stages", [], 0],
])("%s", (_what, stages, share) => {
  expect(makeTimeline(stages, 0, 100).coveredShare).toBeCloseTo(share);
});

test("stages are listed by their start, also those outside", () => {
  const { stages } = makeTimeline([stage(50, 60, "b"), stage(-9, -1, "a")], 0, 100);
  expect(stages.map((s) => s.name)).toEqual(["a", "b"]);
});

test("no wall time is no share", () => {
  expect(makeTimeline([stage(0, 1)], 5, 5)).toMatchObject({ wallMs: 0, coveredShare: 0 });
});
