/** The release phase in the deploy's plan, and how tasks end. */
import { expect, test } from "vitest";
import { deployed, LIMITS, type PlannedService, type Task } from "../testing/planned-service.ts";

const withPhase = ["web", "release"];

function pushed(world: PlannedService = deployed()): PlannedService {
  world.release(withPhase);
  world.plan();
  return world;
}

const lastTask = (world: PlannedService) => world.tasks.at(-1) as Task;
const states = (world: PlannedService) => world.deploys.map(({ state }) => state);

test("nothing of a release starts before its release phase ended well; then the deploy goes its way", () => {
  const world = pushed();
  expect(world.deploys.at(-1)?.state).toBe("releasing");
  world.agents();
  world.plan();
  expect(world.live().map(({ releaseId }) => releaseId)).toEqual([world.serving]);
  lastTask(world).job.state = "finished";
  world.plan();
  expect(lastTask(world).state).toBe("succeeded");
  world.settle();
  expect(states(world)).toEqual(["succeeded", "succeeded"]);
  expect(world.serving).toBe(world.target?.id);
  expect(world.live().map(({ process }) => process)).toEqual(["web"]);
});

test("a release phase that fails ends the deploy with its reason and last lines, and the old release serves on", () => {
  const world = pushed();
  const before = world.serving;
  const reason = "release ended with exit code 3";
  Object.assign(lastTask(world).job, { state: "failed", reasonCode: "task-failed", reason });
  lastTask(world).lastLines = ["no such column"];
  world.settle();
  expect(world.deploys.at(-1)).toMatchObject({
    ...{ state: "failed", reasonCode: "release-failed" },
    reason: `${reason}. It printed last:\n  no such column`,
  });
  expect(world.serving).toBe(before);
  expect(world.live().every(({ releaseId }) => releaseId === before)).toBe(true);
});

test("two release phases of a service never run at once: a later deploy waits until the earlier one's is over", () => {
  const world = pushed();
  lastTask(world).job.state = "running";
  pushed(world);
  expect(states(world)).toEqual(["succeeded", "rolling-back", "planned"]);
  expect(world.tasks).toHaveLength(1);
  expect(lastTask(world).job.desired).toBe("stop");
  lastTask(world).job.state = "finished";
  world.plan();
  expect(world.tasks.map(({ state }) => state)).toEqual(["cancelled", "running"]);
  expect(states(world)).toEqual(["succeeded", "superseded", "releasing"]);
});

test("the release phase has its own deadline: the deploy's counts from its end", () => {
  const world = pushed();
  world.nowMs += LIMITS.deployDeadlineMs * 2;
  lastTask(world).job.state = "finished";
  world.plan();
  expect(world.deploys.at(-1)?.state).toBe("starting");
  world.nowMs += LIMITS.deployDeadlineMs;
  world.plan();
  expect(world.deploys.at(-1)?.reasonCode).toBe("deadline-passed");
});

test("a task of a silent host is given up only long after its deadline, and is to stop then", () => {
  const world = pushed();
  const task = lastTask(world);
  task.job.state = "lost";
  world.nowMs += task.deadlineMs + 60_000;
  world.plan();
  expect(task.state).toBe("running");
  world.nowMs += 15 * 60_000;
  world.plan();
  expect(task).toMatchObject({ state: "failed", reasonCode: "task-interrupted", job: { desired: "stop" } });
});

test("a task that no host can take ends with the hosts' reason", () => {
  const world = pushed();
  const unplaceable = { reason: "no memory", hopeless: true, sinceMs: world.nowMs };
  lastTask(world).job.unplaceable = unplaceable;
  world.plan();
  expect(lastTask(world)).toMatchObject({
    state: "failed",
    reasonCode: "unplaceable",
    job: { desired: "stop" },
  });
});

test("a removed service's tasks stop; a cancelled one stops and says so", () => {
  const world = pushed();
  lastTask(world).job.state = "running";
  world.deleted = true;
  world.plan();
  expect(lastTask(world).job.desired).toBe("stop");
});
