import { describe, expect, test } from "vitest";
import { changePolicy, needsNewJobs, policyProblem, ServicePolicy } from "./service-policy.ts";

const plain = ServicePolicy.parse({});

describe("a service's policy", () => {
  test("without a word it is replaced when its host is lost, and runs on without the control plane", () => {
    expect(plain).toMatchObject({ replaceAfterMs: 10_000, stopAfterMs: null, singleWriter: false });
    expect(policyProblem(plain)).toBe(null);
  });

  test("a single writer takes times that fit, and gives them back", () => {
    const single = changePolicy(plain, { singleWriter: true });
    expect(single).toMatchObject({ replaceAfterMs: 60_000, stopAfterMs: 30_000 });
    expect(policyProblem(single)).toBe(null);
    expect(policyProblem({ ...single, sleepAfterMs: 60_000 })?.field).toBe("sleepAfterMs");
    expect(changePolicy(single, { singleWriter: false })).toEqual(plain);
    expect(changePolicy(single, { labels: { disk: "ssd" } })).toMatchObject({ stopAfterMs: 30_000 });
  });

  test("a single writer whose replacement could start before its end is refused", () => {
    const wrong = changePolicy(plain, { singleWriter: true, stopAfterMs: 30_000, replaceAfterMs: 44_999 });
    expect(policyProblem(wrong)).toMatchObject({ field: "replaceAfterMs", text: /at least 45 s/ });
    expect(policyProblem({ ...wrong, replaceAfterMs: 45_000 })).toBe(null);
    expect(policyProblem({ ...wrong, stopAfterMs: null })?.field).toBe("stopAfterMs");
    expect(policyProblem({ ...wrong, stopAfterMs: null, replaceAfterMs: null })).toBe(null);
    expect(policyProblem({ ...wrong, onReturn: "keep-original" })?.field).toBe("onReturn");
  });

  test("only what the hosts must know makes new instances", () => {
    expect(
      needsNewJobs(plain, changePolicy(plain, { replaceAfterMs: null, onReturn: "keep-original" })),
    ).toBe(false);
    expect(needsNewJobs(plain, changePolicy(plain, { stopAfterMs: 20_000 }))).toBe(true);
    expect(needsNewJobs(plain, changePolicy(plain, { labels: { disk: "ssd" } }))).toBe(true);
  });
});
