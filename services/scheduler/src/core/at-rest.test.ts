import type { HostId } from "@berth/shared/domain/ids.ts";
import { expect, test } from "vitest";
import { deployed, LIMITS, type PlannedService } from "../testing/planned-service.ts";
import { isAtRest } from "./at-rest.ts";
import { planService } from "./plan-service.ts";

function asleep(): PlannedService {
  const service = deployed();
  for (const job of service.live()) job.hostId = "hst_a" as HostId;
  service.sleep = { ...service.sleep, order: { wanted: "sleep", level: "stopped", atMs: 1 } };
  service.plan();
  service.sleep = { ...service.sleep, held: true };
  service.nowMs += LIMITS.drainMs;
  service.plan();
  for (const job of service.live()) Object.assign(job, { state: "asleep", ready: false });
  return service;
}

/** Deployed, and on a host that is alive. */
function serving(): PlannedService {
  const service = deployed();
  service.hosts.set("hst_a" as HostId, { state: "alive", lastHeartbeatAtMs: 1 });
  for (const job of service.live()) job.hostId = "hst_a" as HostId;
  service.plan();
  return service;
}

test("what serves still is at rest, and time alone makes no plan for it", () => {
  const service = serving();
  expect(isAtRest(service.view())).toBe(true);
  for (const hours of [0, 1, 24, 24 * 365])
    expect(planService(service.view(), service.nowMs + hours * 3_600_000, LIMITS)).toEqual([]);
});

test.each([
  ["not ready", { ready: false }],
  ["starting", { state: "starting" }],
  ["lost", { state: "lost" }],
  ["without a host", { hostId: null }],
  ["told to stop", { desired: "stop" }],
  ["not in the routes yet", { rotation: "out" }],
  ["on its way out of the routes", { rotation: "draining" }],
  ["leaving its host", { leaving: true }],
  ["replaced while its host was away", { away: true }],
  ["asked to start again", { restartAsked: true }],
  ["of another release", { releaseId: "rel_0" }],
] as const)("a service with an instance that is %s is not at rest", (_what, change) => {
  const service = serving();
  Object.assign(service.live()[0] as object, change);
  expect(isAtRest(service.view())).toBe(false);
});

test.each([
  [
    "falls asleep when nobody asks for it",
    (one: PlannedService) => ({ sleep: { ...one.sleep, afterMs: 1 } }),
  ],
  ["has more slots than instances", () => ({ scale: 2 })],
  [
    "runs on a silent host",
    () => ({ hosts: new Map([["hst_a", { state: "suspect", lastHeartbeatAtMs: 1 }]]) }),
  ],
  ["runs on a host that is emptied", () => ({ draining: new Set(["hst_a"]) })],
  ["was removed", () => ({ deleted: true })],
] as const)("a service that %s is not at rest", (_what, change) => {
  const service = serving();
  Object.assign(service, change(service));
  expect(isAtRest(service.view())).toBe(false);
});

test("a slot whose instance failed waits for its next try, which comes with time alone", () => {
  const service = serving();
  const [job] = service.live();
  Object.assign(job as object, { state: "failed", ready: false, updatedAtMs: service.nowMs });
  expect(planService(service.view(), service.nowMs, LIMITS)).toEqual([]);
  expect(isAtRest(service.view())).toBe(false);
});

test("what falls or wakes is never at rest", () => {
  const sleeper = asleep();
  for (const state of ["falling", "waking", "awake"] as const) {
    sleeper.sleep = { ...sleeper.sleep, state };
    expect(isAtRest(sleeper.view())).toBe(false);
  }
});

test("a sleeper is at rest once its jobs lie still, and time alone makes no plan for it", () => {
  const service = asleep();
  expect(isAtRest(service.view())).toBe(true);
  for (const hours of [0, 1, 24, 24 * 365])
    expect(planService(service.view(), service.nowMs + hours * 3_600_000, LIMITS)).toEqual([]);
});

test.each([
  ["an order to wake", { order: { wanted: "wake", level: "stopped", atMs: 2 } }],
  ["an order to sleep otherwise", { order: { wanted: "sleep", level: "away", atMs: 2 } }],
] as const)("%s ends it", (_what, change) => {
  const service = asleep();
  service.sleep = { ...service.sleep, ...change };
  expect(isAtRest(service.view())).toBe(false);
  expect(planService(service.view(), service.nowMs, LIMITS)).not.toEqual([]);
});

test.each([
  ["not down yet", { state: "running" }],
  ["starting", { state: "starting" }],
  ["lost with its host", { state: "lost" }],
  ["told to stop", { desired: "stop" }],
  ["woken", { sleep: null }],
  ["leaving its host", { leaving: true }],
  ["replaced while its host was away", { away: true }],
  ["on its way out of the routes", { rotation: "draining" }],
] as const)("a job that is %s ends it", (_what, change) => {
  const service = asleep();
  Object.assign(service.live()[0] as object, change);
  expect(isAtRest(service.view())).toBe(false);
});

test("a new release and a removal end it", () => {
  const service = asleep();
  service.release();
  expect(isAtRest(service.view())).toBe(false);
  const removed = asleep();
  removed.deleted = true;
  expect(isAtRest(removed.view())).toBe(false);
});
