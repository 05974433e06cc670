import { expect, test } from "vitest";
import type { HostId } from "./ids.ts";
import { LastWords } from "./last-words.ts";

const run = { hostId: "h" as HostId, bootId: "b", agentStartedAtMs: 1 };
const full = (revision: number, patch = {}) => ({
  form: "full",
  ...run,
  revision,
  atMs: 1,
  load: revision,
  ...patch,
});
const same = (revision: number, patch = {}) => ({
  form: "same" as const,
  ...run,
  revision,
  atMs: 9,
  ...patch,
});

test("a beat that repeats says the full one again, made now", () => {
  const words = new LastWords<ReturnType<typeof full>, ReturnType<typeof same>>();
  expect(words.complete(full(3))).toEqual(full(3));
  expect(words.complete(same(3))).toEqual(full(3, { atMs: 9 }));
});

test("what it repeats must be the last full one of the same run, heard here", () => {
  const words = new LastWords<ReturnType<typeof full>, ReturnType<typeof same>>();
  expect(words.complete(same(1))).toBeNull();
  words.complete(full(2));
  for (const other of [same(1), same(3), same(2, { bootId: "c" }), same(2, { agentStartedAtMs: 2 })])
    expect(words.complete(other)).toBeNull();
  expect(words.complete(same(2, { hostId: "other" as HostId }))).toBeNull();
  words.complete(full(1, { agentStartedAtMs: 2 }));
  expect(words.complete(same(2))).toBeNull();
});
