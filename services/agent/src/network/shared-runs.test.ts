import { expect, test } from "vitest";
import { SharedRuns } from "./shared-runs.ts";

/** Runs that end when they are told to. */
function heldRuns() {
  const ends: ((isDone: boolean) => void)[] = [];
  const runs = new SharedRuns(
    () =>
      new Promise((resolve) => {
        ends.push(resolve);
      }),
  );
  const begun = () => new Promise<void>((resolve) => setImmediate(resolve));
  return { runs, ends, begun };
}

test("who comes during a run shares the next one", async () => {
  const { runs, ends, begun } = heldRuns();
  const first = runs.start();
  await begun();
  const [second, third] = [runs.start(), runs.start()];
  await begun();
  expect(ends).toHaveLength(1);
  ends[0]?.(true);
  await first;
  await begun();
  expect(ends).toHaveLength(2);
  ends[1]?.(true);
  await Promise.all([second, third]);
  expect(ends).toHaveLength(2);
});

test("who waits for a run that gave way waits for the next one too", async () => {
  const { runs, ends, begun } = heldRuns();
  let isDone = false;
  const first = runs.start().then(() => {
    isDone = true;
  });
  await begun();
  ends[0]?.(false);
  await begun();
  expect({ runs: ends.length, isDone }).toEqual({ runs: 2, isDone: false });
  ends[1]?.(true);
  await first;
  expect(ends).toHaveLength(2);
});

test("only every second run may give way", async () => {
  const may: boolean[] = [];
  const runs = new SharedRuns(async (mayGiveWay) => {
    may.push(mayGiveWay);
    return !mayGiveWay;
  });
  const first = runs.start();
  await new Promise<void>((resolve) => setImmediate(resolve));
  await Promise.all([first, runs.start()]);
  expect(may.slice(0, 4)).toEqual([true, false, true, false]);
});

test("a run that fails keeps no other from running", async () => {
  let turn = 0;
  const runs = new SharedRuns(async () => {
    turn += 1;
    if (turn === 1) throw new Error("no rules");
    return true;
  });
  const [first, second] = [runs.start(), runs.start()];
  await expect(first).rejects.toThrow("no rules");
  await expect(second).rejects.toThrow("no rules");
  await runs.start();
  expect(turn).toBe(2);
});
