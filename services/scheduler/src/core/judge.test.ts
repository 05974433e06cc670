import type { ObservedJob } from "@berth/shared/contracts/job.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import { describe, expect, test } from "vitest";
import { concernsPlan, judgeObservation, type Seen } from "./apply-observation.ts";
import { judgeHosts } from "./judge-hosts.ts";

const LIMITS = { suspectAfterMs: 6000, lostAfterMs: 10_000 };
const hosts = (...silentMs: number[]) =>
  silentMs.map((silent, i) => ({
    hostId: `hst_${i}` as HostId,
    lastHeartbeatAtMs: 100_000 - silent,
    state: "alive" as const,
  }));
const states = (...silentMs: number[]) =>
  judgeHosts(hosts(...silentMs), 100_000, 0, LIMITS).verdicts.map((verdict) => verdict.state);

describe("judgeHosts", () => {
  test("silence makes suspect, then lost", () => {
    expect(states(0, 1000, 7000)).toEqual(["alive", "alive", "suspect"]);
    expect(states(0, 1000, 20_000)).toEqual(["alive", "alive", "lost"]);
  });
  test("when more than half fall silent at once, nobody is lost", () => {
    expect(states(0, 20_000, 20_000)).toEqual(["alive", "suspect", "suspect"]);
    expect(judgeHosts(hosts(0, 20_000, 20_000), 100_000, 0, LIMITS).frozen).toBe(true);
    expect(states(20_000)).toEqual(["suspect"]);
  });
  test("after a mass silence those who are still away are given the whole time again", () => {
    const judge = (frozenAtMs: number) =>
      judgeHosts(hosts(0, 0, 1000, 60_000, 60_000), 100_000, 0, LIMITS, frozenAtMs).verdicts[3]?.state;
    expect(judge(99_000)).toBe("suspect");
    expect(judge(90_001)).toBe("suspect");
    expect(judge(90_000)).toBe("lost");
  });
  test("silence counts only from when this scheduler could hear", () => {
    const verdicts = judgeHosts(hosts(60_000, 60_000, 60_000), 100_000, 99_000, LIMITS).verdicts;
    expect(verdicts.every((verdict) => verdict.state === "alive")).toBe(true);
  });
});

describe("judgeObservation", () => {
  const stored = { epoch: 3, state: "accepted" as const, hostId: "hst_1", observedSequence: 4 };
  const seen = (given: Partial<ObservedJob>) =>
    judgeObservation(
      stored,
      "hst_1",
      { epoch: 3, sequence: 5, state: "running", ...given } as ObservedJob,
      false,
    ).kind;
  test("takes news, drops what is late, foreign or impossible", () => {
    expect(seen({})).toBe("take");
    expect(seen({ epoch: 2 })).toBe("late");
    expect(seen({ sequence: 4 })).toBe("late");
    expect(seen({ epoch: 4 })).toBe("foreign");
    expect(seen({ state: "requested" })).toBe("illegal");
    expect(
      judgeObservation(stored, "hst_2", { epoch: 3, sequence: 5, state: "running" } as ObservedJob, true)
        .kind,
    ).toBe("foreign");
  });
  test("a lost job that its host still names is found again, by a whole list only", () => {
    const lost = { ...stored, state: "lost" as const };
    const same = { epoch: 3, sequence: 4, state: "running" } as ObservedJob;
    expect(judgeObservation(lost, "hst_1", same, true).kind).toBe("take");
    expect(judgeObservation(lost, "hst_1", same, false).kind).toBe("late");
    expect(judgeObservation(stored, "hst_1", same, true).kind).toBe("late");
    // Laid down in the record alone: its host says that it is ready still.
    const laid = { ...stored, awaited: true };
    expect(judgeObservation(laid, "hst_1", { ...same, ready: true }, true).kind).toBe("take");
    expect(judgeObservation(laid, "hst_1", { ...same, ready: true }, false).kind).toBe("late");
    expect(judgeObservation(lost, "hst_1", { ...same, sequence: 3 }, true).kind).toBe("late");
  });
});

describe("concernsPlan", () => {
  const seen = (state: Seen["state"], more: Partial<Seen> = {}): Seen => ({
    ...{ state, ready: false, restartsCount: 0, reasonCode: null },
    ...more,
  });
  test("steps between the award and readiness do not", () => {
    expect(concernsPlan(seen("awarded"), seen("accepted"))).toBe(false);
    expect(concernsPlan(seen("accepted"), seen("preparing"))).toBe(false);
    expect(concernsPlan(seen("preparing"), seen("starting"))).toBe(false);
  });
  test("readiness, an end, a crash, a reason and a return do", () => {
    expect(concernsPlan(seen("starting"), seen("running", { ready: true }))).toBe(true);
    expect(concernsPlan(seen("starting"), seen("failed"))).toBe(true);
    expect(concernsPlan(seen("running", { ready: true }), seen("starting"))).toBe(true);
    expect(concernsPlan(seen("starting"), seen("starting", { restartsCount: 1 }))).toBe(true);
    expect(concernsPlan(seen("starting"), seen("starting", { reasonCode: "start-failed" }))).toBe(true);
    expect(concernsPlan(seen("lost"), seen("starting"))).toBe(true);
  });
});
