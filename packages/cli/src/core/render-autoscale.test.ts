import { expect, test } from "vitest";
import { autoscaleLines } from "./render-autoscale.ts";

test("says how many, between what, since when and why", () => {
  const state = { process: "web", scale: 3, min: 1, max: 6, changedAtMs: 0, reason: "55 requests in flight" };
  expect(autoscaleLines([state], 120_000)).toEqual([
    "web follows its load: 3 of 1 to 6 for 2 min: 55 requests in flight",
  ]);
  expect(autoscaleLines([], 0)).toEqual([]);
});
