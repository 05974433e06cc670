/** A look beside changes: what they did is not lost, whatever the look read of it, and what failed spoils it. */
import { expect, test } from "vitest";
import { Belief } from "./belief.ts";
import type { NetworkStep, ObservedHost } from "./core/plan-network.ts";

const empty: ObservedHost = {
  engineNetworks: [],
  links: new Set(),
  addresses: new Map(),
  tunnels: [],
  routes: [],
  rulePriorities: [],
};
const rule = (priority: number): NetworkStep => ({ kind: "add-rule", rule: { priority, words: [] } });
const unRule = (priority: number): NetworkStep => ({ kind: "remove-rule", priority });
const saw = (...rulePriorities: number[]): ObservedHost => ({ ...empty, rulePriorities });

test("a step that was carried out during a look is there, whether the look read before it or after it", () => {
  for (const read of [saw(1), saw(1, 2)]) {
    const belief = new Belief();
    const look = belief.begin();
    belief.carriedOut(saw(1, 2), [rule(2)], true);
    expect(belief.take(look, read)).toBe(true);
    expect(belief.host?.rulePriorities).toEqual([1, 2]);
  }
});

test("what was removed during a look, or between its end and the run that takes it, is gone", () => {
  const belief = new Belief();
  const look = belief.begin();
  const seen = saw(1, 2);
  belief.carriedOut(saw(1), [unRule(2)], true);
  expect(belief.take(look, seen)).toBe(true);
  expect(belief.host?.rulePriorities).toEqual([1]);
});

test("what somebody else changed is seen, however many changes of our own ran meanwhile", () => {
  const belief = new Belief();
  belief.take(belief.begin(), saw(1, 2));
  const look = belief.begin();
  for (let priority = 3; priority < 20; priority += 1) {
    belief.carriedOut(saw(1, 2, priority), [rule(priority)], true);
    belief.carriedOut(saw(1, 2), [unRule(priority)], true);
  }
  // Somebody removed 1.
  expect(belief.take(look, saw(2))).toBe(true);
  expect(belief.host?.rulePriorities).toEqual([2]);
});

test("a look during which a step failed does not count, and nothing is believed until the next one", () => {
  const belief = new Belief();
  const look = belief.begin();
  belief.carriedOut(saw(1), [rule(1), rule(2)], false);
  expect(belief.take(look, saw(1))).toBe(false);
  expect(belief.host).toBeNull();
  expect(belief.take(belief.begin(), saw(1))).toBe(true);
  expect(belief.host?.rulePriorities).toEqual([1]);
});

test("of two looks at once the one that began later counts", () => {
  const belief = new Belief();
  const [early, late] = [belief.begin(), belief.begin()];
  expect(belief.take(late, saw(2))).toBe(true);
  expect(belief.take(early, saw(1))).toBe(false);
  expect(belief.host?.rulePriorities).toEqual([2]);
});
