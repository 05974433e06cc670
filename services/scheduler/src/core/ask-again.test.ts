import { describe, expect, test } from "vitest";
import { ASK_AGAIN_MS, type AwardView, isAskedAgain, LEAST_LEFT_MS } from "./ask-again.ts";

const nowMs = 1_000_000;
const award = (changed: Partial<AwardView> = {}): AwardView => ({
  ...{ state: "awarded", desired: "run", leaseExpiresAtMs: nowMs + 15_000, sentAtMs: null },
  ...changed,
});

describe("an award is sent again", () => {
  test("by a leader that did not send it", () => {
    expect(isAskedAgain(award(), nowMs)).toBe(true);
  });
  test("by the one that sent it, after a while", () => {
    expect(isAskedAgain(award({ sentAtMs: nowMs - ASK_AGAIN_MS }), nowMs)).toBe(true);
    expect(isAskedAgain(award({ sentAtMs: nowMs - ASK_AGAIN_MS + 1 }), nowMs)).toBe(false);
  });
});

describe("an award is not sent again", () => {
  test.each(["requested", "accepted", "preparing", "running", "finished", "failed"] as const)(
    "when its job is %s",
    (state) => expect(isAskedAgain(award({ state }), nowMs)).toBe(false),
  );
  test("when nobody wants the job any more", () => {
    expect(isAskedAgain(award({ desired: "stop" }), nowMs)).toBe(false);
  });
  test("when its lease is over or nearly so", () => {
    expect(isAskedAgain(award({ leaseExpiresAtMs: nowMs + LEAST_LEFT_MS - 1 }), nowMs)).toBe(false);
    expect(isAskedAgain(award({ leaseExpiresAtMs: nowMs - 1 }), nowMs)).toBe(false);
    expect(isAskedAgain(award({ leaseExpiresAtMs: null }), nowMs)).toBe(false);
  });
});
