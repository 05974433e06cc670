import { expect, test } from "vitest";
import { describePlan } from "./describe-plan.ts";

const deploy = {
  version: 4,
  servingVersion: 3,
  processes: new Set(["web", "worker"]),
  wishes: [
    { process: "worker", scale: 1 },
    { process: "web", scale: 2 },
    { process: "clock", scale: 1 },
  ],
  singleWriter: false,
  rollouts: new Map(),
};

test.each([
  [
    deploy,
    "start-first, no downtime: v3 runs until web=2, worker=1 of v4 are ready and every edge knows them",
  ],
  [
    { ...deploy, wishes: [{ process: "web", scale: 1 }] },
    /no downtime.*With web=1 the failure of one host interrupts/,
  ],
  [
    { ...deploy, wishes: [{ process: "worker", scale: 1 }] },
    /no downtime: v3 runs until worker=1 of v4 are ready$/,
  ],
  [
    { ...deploy, singleWriter: true },
    /^this deploy will have downtime, because the service is a single writer: v3 stops/,
  ],
  [
    { ...deploy, rollouts: new Map([["web", { canary: 1, batch: 2, minReadyMs: 5000 }]]) },
    "start-first, no downtime, slot by slot: web=2: 1 first, then 2 at a time, each ready for 5 s. v3 and v4 both answer meanwhile",
  ],
  [
    { ...deploy, rollouts: new Map([["web", { canary: null, batch: null, minReadyMs: 5000 }]]) },
    /^start-first, no downtime: v3 runs until/,
  ],
  [{ ...deploy, servingVersion: null }, "v4 is the first release: web=2, worker=1"],
  [{ ...deploy, wishes: [{ process: "web", scale: 0 }] }, "v4 starts nothing: every process is scaled to 0"],
])("%j", (given, expected) => {
  if (typeof expected === "string") expect(describePlan(given)).toBe(expected);
  else expect(describePlan(given)).toMatch(expected);
});
