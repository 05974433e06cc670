import { isFinalDeploy } from "@berth/shared/domain/deploy-state.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { deployed, type Job, LIMITS, PlannedService } from "../testing/planned-service.ts";

describe("planService", () => {
  test("the first release is started, routed and called done", () => {
    const world = deployed(3);
    expect(world.deploys.map((deploy) => deploy.state)).toEqual(["succeeded"]);
    expect(world.routed.size).toBe(3);
    expect(world.live()).toHaveLength(3);
  });

  test("a second release replaces the first, which stops after it left the routes", () => {
    const world = deployed();
    const [old] = world.live();
    world.release();
    world.plan();
    world.agents();
    world.plan();
    expect(old?.rotation, "in rotation until the edges acknowledged the new one").toBe("in");
    world.edges();
    world.plan();
    expect(old?.rotation).toBe("draining");
    expect(old?.desired).toBe("run");
    world.settle();
    expect(old?.state).toBe("finished");
    expect(world.deploys.map((deploy) => deploy.state)).toEqual(["succeeded", "succeeded"]);
  });

  test("a failed deploy tells what the app printed last", () => {
    const world = new PlannedService();
    world.release();
    world.plan();
    const [job] = world.live();
    if (job === undefined) throw new Error("no job");
    Object.assign(job, {
      state: "failed",
      reasonCode: "crashed",
      reason: "web ended by itself with exit code 1",
      lastLines: Array.from({ length: 9 }, (_, i) => `line ${i} ${"x".repeat(300)}`),
    });
    world.plan();
    const reason = world.deploys[0]?.reason ?? "";
    expect(reason).toMatch(
      /^web\.1: web ended by itself with exit code 1\. It printed last:\n {2}line 4 x+\n/,
    );
    expect(reason).toMatch(/\n {2}line 8 x+$/);
    expect(reason.length, "the most that a contract takes").toBeLessThan(2000);
  });

  test("an instance that gets ready and crashes again and again ends the deploy before its deadline", () => {
    const world = deployed();
    const before = world.serving;
    world.release();
    world.plan();
    const job = world.jobs.at(-1) as Job;
    const crash = {
      state: "starting",
      ready: false,
      reason: "web ended by itself with exit code 1",
    } as const;
    Object.assign(job, crash, { restartsCount: 2 });
    world.plan();
    expect(world.deploys[1]?.state).toBe("starting");
    Object.assign(job, crash, { restartsCount: 3, lastLines: ["lost my database"] });
    world.plan();
    expect(world.deploys[1]).toMatchObject({ state: "rolling-back", reasonCode: "crashed" });
    expect(world.deploys[1]?.reason).toMatch(/^web\.1 crashed 3 times.*exit code 1.*\n {2}lost my database$/);
    world.settle();
    expect(world.serving).toBe(before);
  });

  test("a failing release leaves the old one in rotation and nothing of itself", () => {
    const world = deployed();
    const before = world.routed;
    world.release();
    world.plan();
    world.settle("failed");
    expect(world.deploys[1]).toMatchObject({ state: "failed", reasonCode: "crashed" });
    expect(world.routed).toEqual(before);
    expect(world.live()).toHaveLength(1);
  });

  test("a later release supersedes the one under way", () => {
    const world = deployed();
    world.release();
    world.plan();
    world.release();
    world.settle();
    expect(world.deploys.map((deploy) => deploy.state)).toEqual(["succeeded", "superseded", "succeeded"]);
    expect(world.live()).toHaveLength(1);
  });

  test("a cancelled deploy is rolled back", () => {
    const world = deployed();
    const release = world.release();
    world.plan();
    world.cancelled.add(release.deployId);
    world.settle();
    expect(world.deploys[1]?.state).toBe("cancelled");
    expect(world.routed.size).toBe(1);
  });

  test("a job that no host can ever take fails the deploy at once; one that must wait, later", () => {
    const hopeless = new PlannedService();
    hopeless.release();
    hopeless.plan();
    for (const job of hopeless.jobs)
      job.unplaceable = { reason: "too big", hopeless: true, sinceMs: hopeless.nowMs };
    hopeless.plan();
    expect(hopeless.deploys[0]).toMatchObject({ state: "failed", reasonCode: "unplaceable" });

    const waiting = new PlannedService();
    waiting.release();
    waiting.plan();
    for (const job of waiting.jobs)
      job.unplaceable = { reason: "full", hopeless: false, sinceMs: waiting.nowMs };
    waiting.plan();
    expect(waiting.deploys[0]?.state).toBe("starting");
    waiting.nowMs += LIMITS.unplaceableAfterMs;
    waiting.plan();
    expect(waiting.deploys[0]?.state).toBe("failed");
  });

  test("a deploy that never gets ready ends at its deadline and says what it waited for", () => {
    const world = new PlannedService();
    world.release();
    world.plan();
    world.nowMs += LIMITS.deployDeadlineMs;
    world.plan();
    world.agents();
    world.plan();
    expect(world.deploys[0]).toMatchObject({ state: "failed", reasonCode: "deadline-passed" });
    expect(world.deploys[0]?.reason).toContain("web.1 is requested");
  });

  test("scaling down drains before it stops; scaling up adds slots of the release in rotation", () => {
    const world = deployed(3);
    world.scale = 1;
    world.plan();
    expect(world.live().map((job) => job.rotation)).toEqual(["in", "draining", "draining"]);
    world.settle();
    expect(world.live()).toHaveLength(1);
    world.scale = 2;
    world.settle();
    expect(world.routed.size).toBe(2);
  });

  test("a lost job is replaced in its slot and told to stop if its host returns", () => {
    const world = deployed(2);
    const lost = world.live()[0] as Job;
    Object.assign(lost, { state: "lost", ready: false });
    world.plan();
    expect(lost.desired).toBe("stop");
    expect(world.live().filter((job) => job.slot === lost.slot)).toHaveLength(2);
    world.settle();
    expect(world.routed.size).toBe(2);
  });

  test("work leaves a draining host start-first: in rotation until every edge serves its successor", () => {
    const world = deployed(2);
    const [old, other] = world.live() as [Job, Job];
    Object.assign(old, { hostId: "hst_1" });
    Object.assign(other, { hostId: "hst_2" });
    world.draining.add("hst_1" as HostId);
    world.plan();
    expect(old).toMatchObject({ leaving: true, rotation: "in", desired: "run" });
    expect(world.live()).toHaveLength(3);
    world.agents();
    world.plan();
    expect(old.rotation).toBe("in");
    world.edges();
    world.plan();
    expect(old.rotation).toBe("draining");
    world.settle();
    expect(old.state).toBe("finished");
    expect(world.routed.size).toBe(2);
    expect(other.state).toBe("running");
  });

  test("a restart replaces start-first the instances that were there, and each once", () => {
    const world = deployed(2);
    const old = world.live() as Job[];
    for (const job of old) Object.assign(job, { hostId: "hst_1", restartAsked: true });
    world.plan();
    expect(old.map((job) => [job.leaving, job.rotation, job.desired])).toEqual([
      [true, "in", "run"],
      [true, "in", "run"],
    ]);
    world.settle();
    expect(old.map((job) => job.state)).toEqual(["finished", "finished"]);
    expect(world.live()).toHaveLength(2);
    expect(world.routed.size).toBe(2);
    expect(world.deploys).toHaveLength(1);
  });

  test("a removed service stops everything", () => {
    const world = deployed(2);
    world.release();
    world.plan();
    world.deleted = true;
    world.settle();
    expect(world.live()).toHaveLength(0);
    expect(world.serving).toBeNull();
    expect(world.deploys.every((deploy) => isFinalDeploy(deploy.state))).toBe(true);
  });

  test("whatever happens, in any order: never fewer routed jobs than before while one release serves well", () => {
    const action = fc.constantFrom("plan", "agents", "fail", "edges", "release", "wait", "cancel", "lose");
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const world = deployed(2);
        let lostOnes = 0;
        for (const one of actions) {
          if (one === "plan") world.plan();
          if (one === "agents") world.agents();
          if (one === "fail") world.agents("failed");
          if (one === "edges") world.edges();
          if (one === "release") world.release();
          if (one === "wait") world.nowMs += 3000;
          if (one === "cancel" && world.target !== null && world.target.version > 1)
            world.cancelled.add(world.target.deployId);
          if (one === "lose") {
            const job = world.jobs.find((candidate) => candidate.state === "running");
            if (job !== undefined) {
              Object.assign(job, { state: "lost", ready: false });
              lostOnes += 1;
            }
          }
          if (one === "edges" && lostOnes === 0) expect(world.routed.size).toBeGreaterThanOrEqual(2);
        }
        world.settle();
        world.nowMs += 120_000;
        world.settle();
        expect(world.routed.size).toBe(2);
        expect(world.live()).toHaveLength(2);
        expect(world.deploys.every((deploy) => isFinalDeploy(deploy.state))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
