import { describe, expect, test } from "vitest";
import { explain } from "./berth-arm.ts";

const stage = (owner: string, name: string, startedAtMs: number, endedAtMs: number) => ({
  ...{ owner, name, startedAtMs, endedAtMs },
});

describe("explain", () => {
  test("names gaps, and counts only what lies between the push and the answer", () => {
    const stages = [
      stage("builder", "build", 1020, 1080),
      stage("git", "receive", 1010, 1020),
      stage("api", "late", 1090, 1200),
    ];
    expect(explain(stages, 1000, 100)).toEqual({
      wallMs: 100,
      spans: [
        { name: "(before git: receive)", ms: 10 },
        { name: "git: receive", ms: 10 },
        { name: "builder: build", ms: 60 },
        { name: "(before api: late)", ms: 10 },
        { name: "api: late", ms: 10 },
      ],
      coveredShare: 0.8,
    });
  });

  test("what overlaps counts once", () => {
    const stages = [
      stage("a", "one", 1000, 1060),
      stage("b", "two", 1030, 1090),
      stage("b", "inside", 1040, 1050),
    ];
    const { spans, coveredShare } = explain(stages, 1000, 100);
    expect(coveredShare).toBe(0.9);
    expect(spans.map(({ ms }) => ms)).toEqual([60, 30, 10]);
    expect(spans.at(-1)?.name).toBe("(until the answer)");
  });
});
