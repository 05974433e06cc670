import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BELIEVED_SILENT_MS, type Beat, judgeIdentity, NOBODY, TURN_WINDOW_MS } from "./judge-identity.ts";

function hear(beats: readonly Beat[]) {
  let speakers = NOBODY;
  return beats.map((beat) => {
    const verdict = judgeIdentity(speakers, beat);
    speakers = verdict.speakers;
    return verdict;
  });
}

const beat = (instance: string, seconds: number, madeSeconds = seconds): Beat => ({
  instance,
  madeAtMs: madeSeconds * 1000,
  heardAtMs: seconds * 1000,
});

describe("judgeIdentity", () => {
  test("two machines that take turns are a clone within two turns; the earlier one stays the host", () => {
    // The copy's clock is an hour behind.
    const verdicts = hear([
      beat("a", 0),
      beat("a", 2),
      beat("b", 3, -3597),
      beat("a", 4),
      beat("b", 5, -3595),
      beat("a", 6),
    ]);
    expect(verdicts.map(({ cloned }) => cloned)).toEqual([false, false, false, false, true, true]);
    expect(verdicts.slice(4).map(({ believed }) => believed)).toEqual([false, true]);
  });

  test("from its first word on a copy's list says nothing of what is absent; after a restart that lasts for a moment", () => {
    const turns = hear([beat("a", 0), beat("b", 1), beat("a", 2), beat("b", 3)]);
    expect(turns.map(({ settled }) => settled)).toEqual([true, false, false, false]);
    const restart = hear([beat("a", 0), beat("a2", 2), beat("a2", 4), beat("a2", 6)]);
    expect(restart.map(({ settled }) => settled)).toEqual([true, false, false, true]);
  });

  test("restarts, one after the other, are no clone", () => {
    const verdicts = hear([0, 2, 4, 6, 8, 10].map((seconds, i) => beat(`run-${i}`, seconds)));
    expect(verdicts.every(({ cloned, believed }) => !cloned && believed)).toBe(true);
  });

  test("words that were under way when an agent ended are no turn, however often they come again", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 10 }), { maxLength: 20 }), (late) => {
        const before = Array.from({ length: 6 }, (_none, i) => beat("a", i * 2));
        const after = late.flatMap((age, i) => [beat("b", 12 + i), beat("a", 12.5 + i, age)]);
        // In one connection's order: the last word of `a` was the newest.
        expect(hear([...before, ...after]).some(({ cloned }) => cloned)).toBe(false);
      }),
    );
  });

  test("when the believed one falls silent the other one is; when one is left for long there is no clone", () => {
    const turns = [0, 1, 2, 3, 4, 5].map((seconds) => beat(seconds % 2 === 0 ? "a" : "b", seconds));
    const alone = Array.from({ length: 30 }, (_none, i) => beat("b", 7 + i * 2));
    const verdicts = hear([...turns, ...alone]);
    const firstBelieved = alone[verdicts.slice(6).findIndex(({ believed }) => believed)];
    expect(firstBelieved?.heardAtMs).toBeGreaterThanOrEqual(4000 + BELIEVED_SILENT_MS);
    expect(verdicts.at(-1)).toMatchObject({ cloned: false, believed: true });
    expect(alone.at(-1)?.heardAtMs).toBeGreaterThan(5000 + TURN_WINDOW_MS);
  });
});
