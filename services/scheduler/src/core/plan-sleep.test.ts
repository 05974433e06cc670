import type { HostId } from "@berth/shared/domain/ids.ts";
import { SINGLE_WRITER_POLICY } from "@berth/shared/domain/service-policy.ts";
import { expect, test } from "vitest";
import { deployed as deployedService, LIMITS, type PlannedService } from "../testing/planned-service.ts";
import { desiredByHost } from "./desired-set.ts";

const order = (wanted: "sleep" | "wake") => ({ wanted, level: "stopped" as const, atMs: 1 });

function serving(): PlannedService {
  const service = deployedService();
  for (const job of service.live()) job.hostId = "hst_a" as HostId;
  return service;
}

/** Ordered, held by every edge, drained. */
function asleep(): PlannedService {
  const service = serving();
  service.sleep = { ...service.sleep, order: order("sleep") };
  service.plan();
  service.sleep = { ...service.sleep, held: true };
  service.nowMs += LIMITS.drainMs;
  service.plan();
  return service;
}

test("nothing stops before every edge holds its requests and what is open had its time", () => {
  const service = serving();
  service.sleep = { ...service.sleep, order: order("sleep") };
  service.plan();
  expect(service.sleep).toMatchObject({ state: "falling", epoch: 1, order: null });
  service.nowMs += 10 * LIMITS.drainMs;
  service.plan();
  expect(service.sleep.state).toBe("falling");
  expect(service.jobs.every((job) => job.sleep === null)).toBe(true);
  service.sleep = { ...service.sleep, held: true, sinceMs: service.nowMs };
  service.plan();
  expect(service.sleep.state).toBe("falling");
  service.nowMs += LIMITS.drainMs;
  service.plan();
  expect(service.sleep.state).toBe("asleep");
  expect(service.jobs.filter((job) => job.sleep?.epoch === 1)).toHaveLength(1);
});

test("while it falls asleep no host is told that this sleep is over", () => {
  const service = serving();
  service.sleep = { ...service.sleep, order: order("sleep") };
  service.plan();
  const told = desiredByHost(service.live().map((view) => ({ epoch: 1, view })));
  expect(told.get("hst_a" as HostId)?.[0]).not.toHaveProperty("wokenEpoch");
  service.sleep = { ...service.sleep, order: order("wake") };
  service.plan();
  const after = desiredByHost(service.live().map((view) => ({ epoch: 1, view })));
  expect(after.get("hst_a" as HostId)?.[0]).toHaveProperty("wokenEpoch", 1);
});

test("a wake in the middle of falling asleep wins", () => {
  const service = serving();
  service.sleep = { ...service.sleep, order: order("sleep") };
  service.plan();
  service.sleep = { ...service.sleep, state: "awake", held: true };
  service.nowMs += 10 * LIMITS.drainMs;
  service.plan();
  expect(service.sleep.state).toBe("awake");
  expect(service.jobs.every((job) => job.sleep === null && job.desired === "run")).toBe(true);
});

test("its hosts are told that the jobs sleep, not that they stop", () => {
  const service = asleep();
  const [job] = service.jobs.filter(({ state }) => state === "running");
  const told = desiredByHost(service.jobs.map((view) => ({ epoch: 1, view })));
  expect(told.get(job?.hostId as HostId)).toEqual([
    { jobId: job?.id, epoch: 1, action: "run", sleep: { epoch: 1, level: "stopped" } },
  ]);
});

test("what is lost or ended while it sleeps is made anew by its wake, not before", () => {
  const service = asleep();
  for (const job of service.jobs) Object.assign(job, { state: "finished", ready: false });
  service.plan();
  expect(service.jobs.filter(({ state }) => state !== "finished")).toEqual([]);
  service.sleep = { ...service.sleep, state: "waking" };
  service.plan();
  expect(service.jobs.filter(({ state }) => state === "requested")).toHaveLength(1);
  service.settle();
  expect(service.sleep.state).toBe("awake");
});

test("a drained host lets its sleeping jobs go: they wake elsewhere", () => {
  const service = asleep();
  for (const job of service.jobs) if (job.hostId !== null) service.draining.add(job.hostId);
  service.plan();
  expect(service.jobs.every((job) => job.desired === "stop")).toBe(true);
});

test("a deploy and an order wake it; it is awake when one instance answers", () => {
  const deployed = asleep();
  for (const job of deployed.jobs) job.ready = false;
  deployed.release();
  deployed.plan();
  expect(deployed.sleep.state).toBe("waking");
  const ordered = asleep();
  for (const job of ordered.jobs) job.ready = false;
  ordered.sleep = { ...ordered.sleep, order: order("wake") };
  ordered.plan();
  expect(ordered.sleep.state).toBe("waking");
  for (const job of ordered.jobs) job.ready = true;
  ordered.plan();
  expect(ordered.sleep.state).toBe("awake");
});

test("neither a single writer nor what is being deployed falls asleep; the order waits", () => {
  const single = serving();
  single.policy = SINGLE_WRITER_POLICY;
  single.sleep = { ...single.sleep, order: order("sleep") };
  single.plan();
  expect(single.sleep).toMatchObject({ state: "awake", order: { wanted: "sleep" } });
  const deploying = serving();
  deploying.release();
  deploying.sleep = { ...deploying.sleep, order: order("sleep") };
  deploying.plan();
  expect(deploying.sleep).toMatchObject({ state: "awake", order: { wanted: "sleep" } });
});

const AFTER_MS = 60_000;

/** Nobody asked for it since it came into rotation. */
function quiet(): PlannedService {
  const service = serving();
  const quietSinceMs = service.nowMs;
  service.sleep = { ...service.sleep, afterMs: AFTER_MS, idleLevel: "frozen", quietSinceMs };
  return service;
}

test("it falls asleep by itself when nobody asked for so long, and not a moment earlier", () => {
  const service = quiet();
  service.nowMs += AFTER_MS - 1;
  service.plan();
  expect(service.sleep.state).toBe("awake");
  service.nowMs += 1;
  service.plan();
  expect(service.sleep).toMatchObject({ state: "falling", cause: "idle", level: "frozen" });
});

test("an edge that was not heard, a worker, a fresh deploy keep it awake", () => {
  const unheard = quiet();
  unheard.sleep = { ...unheard.sleep, quietSinceMs: null };
  const fresh = quiet();
  const working = quiet();
  working.workers = 1;
  for (const { processes } of working.releases) (processes as Set<string>).add("worker");
  for (const service of [unheard, fresh, working]) service.nowMs += AFTER_MS;
  for (const job of fresh.live()) job.rotationSinceMs = fresh.nowMs;
  for (const service of [unheard, fresh, working]) {
    service.plan();
    expect(service.sleep.state).toBe("awake");
  }
});

test("a connection that is open still as it falls keeps it awake; with an order it does not", () => {
  const open = quiet();
  open.nowMs += AFTER_MS;
  open.plan();
  open.sleep = { ...open.sleep, quietSinceMs: open.nowMs + 1 };
  open.plan();
  expect(open.sleep.state).toBe("awake");
  const told = quiet();
  told.sleep = { ...told.sleep, order: order("sleep") };
  told.plan();
  told.sleep = { ...told.sleep, quietSinceMs: told.nowMs + 1, held: true };
  told.nowMs += LIMITS.drainMs;
  told.plan();
  expect(told.sleep.state).toBe("asleep");
});
