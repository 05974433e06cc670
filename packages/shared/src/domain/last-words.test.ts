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
  jobs: [
    { jobId: "a", ready: false },
    { jobId: "b", ready: false },
  ],
  ...patch,
});
const changed = (since: number, patch = {}) => ({
  form: "changed" as const,
  ...run,
  since,
  revision: since + 1,
  atMs: 5,
  load: since + 1,
  jobs: [
    { jobId: "b", ready: true },
    { jobId: "c", ready: false },
  ],
  gone: ["a"],
  ...patch,
});
const same = (revision: number, patch = {}) => ({
  form: "same" as const,
  ...run,
  revision,
  atMs: 9,
  ...patch,
});

const startWords = () =>
  new LastWords<ReturnType<typeof full>, ReturnType<typeof changed>, ReturnType<typeof same>>();

test("a beat that repeats says the full one again, made now", () => {
  const words = startWords();
  expect(words.complete(full(3))).toEqual(full(3));
  expect(words.complete(same(3))).toEqual(full(3, { atMs: 9 }));
});

test("what it repeats must be the last full one of the same run, heard here", () => {
  const words = startWords();
  expect(words.complete(same(1))).toBeNull();
  words.complete(full(2));
  for (const other of [same(1), same(3), same(2, { bootId: "c" }), same(2, { agentStartedAtMs: 2 })])
    expect(words.complete(other)).toBeNull();
  expect(words.complete(same(2, { hostId: "other" as HostId }))).toBeNull();
  words.complete(full(1, { agentStartedAtMs: 2 }));
  expect(words.complete(same(2))).toBeNull();
});

test("a beat that says what changed is read as a full one, and those after it build on it", () => {
  const words = startWords();
  words.complete(full(3));
  const jobs = [
    { jobId: "b", ready: true },
    { jobId: "c", ready: false },
  ];
  expect(words.complete(changed(3))).toEqual(full(4, { atMs: 5, jobs }));
  expect(words.complete(same(4))).toEqual(full(4, { atMs: 9, jobs }));
  expect(words.complete(changed(4, { jobs: [], gone: ["b"] }))?.jobs).toEqual([{ jobId: "c", ready: false }]);
});

test("what changed says nothing to who did not hear what it builds on", () => {
  const words = startWords();
  expect(words.complete(changed(1))).toBeNull();
  words.complete(full(3));
  for (const other of [
    changed(2),
    changed(4),
    changed(3, { bootId: "c" }),
    changed(3, { agentStartedAtMs: 2 }),
  ])
    expect(words.complete(other)).toBeNull();
  expect(words.complete(changed(3))).not.toBeNull();
  expect(words.complete(changed(3))).toBeNull();
});
