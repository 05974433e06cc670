import { expect, test } from "vitest";
import { parseRelease } from "./parse-release.ts";
import { restartProgress } from "./restart-progress.ts";

const OLD = { jobId: "old", process: "web", slot: 1 };
const seen = (more: object) => ({
  ...OLD,
  state: "running" as const,
  ready: true,
  inRotation: true,
  reason: null,
  ...more,
});

test("an instance is replaced when another one is ready and it gets no more requests", () => {
  expect(restartProgress([OLD], [seen({})])).toMatchObject({ replaced: [], waiting: ["web.1"] });
  const starting = seen({ jobId: "new", state: "starting", ready: false, inRotation: false });
  expect(restartProgress([OLD], [seen({}), starting]).waiting).toEqual(["web.1"]);
  expect(restartProgress([OLD], [seen({}), seen({ jobId: "new" })]).waiting).toEqual(["web.1"]);
  expect(restartProgress([OLD], [seen({ inRotation: false }), seen({ jobId: "new" })]).replaced).toEqual([
    "web.1",
  ]);
  expect(restartProgress([OLD], [seen({ jobId: "new" })]).replaced).toEqual(["web.1"]);
  expect(restartProgress([OLD], [seen({ jobId: "new", slot: 2 })]).waiting).toEqual(["web.1"]);
});

test("a new one that failed is told of while the old one serves", () => {
  const failed = seen({
    jobId: "new",
    state: "failed",
    ready: false,
    inRotation: false,
    reason: "it crashed",
  });
  expect(restartProgress([OLD], [seen({}), failed])).toEqual({
    replaced: [],
    waiting: ["web.1"],
    troubled: [{ name: "web.1", reason: "it crashed" }],
  });
});

test.each([
  ["v7", 7],
  ["12", 12],
  ["v0", null],
  ["v-1", null],
  ["seven", null],
])("release %s is %s", (text, version) => {
  expect(parseRelease(text)).toBe(version);
});
