import { expect, test } from "vitest";
import { mayRemoveUnknown } from "./decide-orphans.ts";

const unknownSinceMs = 100_000;
const seen = (atMs: number, madeAtMs: number | undefined, jobs: readonly string[] = []) => ({
  atMs,
  set: {
    ...{ leaderEpoch: 1, revision: 1, whole: true, madeAtMs },
    jobs: jobs.map((jobId) => ({ jobId, epoch: 1, action: "run" as const })),
  },
});

test("an unknown container goes by a whole set that was made when it had been unknown for a while", () => {
  expect(mayRemoveUnknown("j", unknownSinceMs, seen(131_000, 131_000), 132_000)).toBe(true);
  expect(mayRemoveUnknown("j", unknownSinceMs, seen(131_000, undefined), 132_000)).toBe(true);
});

test("it stays: no set, an old one, one that wants it, one that was made before and came late", () => {
  expect(mayRemoveUnknown("j", unknownSinceMs, null, 132_000)).toBe(false);
  expect(mayRemoveUnknown("j", unknownSinceMs, seen(131_000, 131_000), 192_000)).toBe(false);
  expect(mayRemoveUnknown("j", unknownSinceMs, seen(131_000, 131_000, ["j"]), 132_000)).toBe(false);
  expect(mayRemoveUnknown("j", unknownSinceMs, seen(131_000, 99_000), 132_000)).toBe(false);
  expect(mayRemoveUnknown("j", unknownSinceMs, seen(131_000, 129_000), 132_000)).toBe(false);
});
