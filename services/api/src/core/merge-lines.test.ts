import fc from "fast-check";
import { expect, test } from "vitest";
import { dropOverlap, mergeByTime, Seam } from "./merge-lines.ts";

const line = (atMs: number, text: string) => ({
  atMs,
  instance: "web.1",
  stream: "stdout" as const,
  text,
  release: 1,
});

test("lines of all hosts by time, the last ones, order within a host kept", () => {
  const a = { hostId: "a", lines: [line(1, "a1"), line(3, "a2"), line(3, "a3")] };
  const b = { hostId: "b", lines: [line(2, "b1"), line(3, "b2")] };
  expect(mergeByTime([b, a], 4).map((l) => l.text)).toEqual(["b1", "a2", "a3", "b2"]);
  expect(mergeByTime([a, b], 0)).toEqual([]);
});

test("what was stored is not shown again when it comes live, but a true repeat is", () => {
  const seam = new Seam([{ hostId: "a", lines: [line(1, "x"), line(2, "y"), line(2, "y")] }]);
  expect(seam.fresh("a", [line(2, "y")])).toEqual([]);
  expect(seam.fresh("b", [line(2, "y")])).toHaveLength(1);
  expect(seam.fresh("a", [line(2, "y"), line(2, "y"), line(3, "z")]).map((l) => l.text)).toEqual(["y", "z"]);
});

test("stored text and live lines join without a repeat, wherever the cut is", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string(), { maxLength: 30 }), fc.nat(30), fc.nat(30), (all, from, to) => {
      const stored = all.slice(0, to);
      const live = all.slice(Math.min(from, to));
      expect([...stored, ...dropOverlap(stored, live)]).toEqual(all);
    }),
  );
});
