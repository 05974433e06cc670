import { isFinalDeploy } from "@berth/shared/domain/deploy-state.ts";
import { ALL_AT_ONCE, type Rollout } from "@berth/shared/domain/rollout.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { deployed, type Job, LIMITS, type PlannedService } from "../testing/planned-service.ts";

const paced = (rollout: Partial<Rollout>) => new Map([["web", { ...ALL_AT_ONCE, ...rollout }]]);
const ofVersion = (world: PlannedService, version: number): Job[] =>
  world.live().filter(({ releaseId }) => releaseId === `rel_${version}`);

/** A deploy of v2 over a release with so many instances; the versions' live jobs after each round. */
function watched(scale: number, rollout: Partial<Rollout>): { world: PlannedService; rounds: string[] } {
  const world = deployed(scale);
  const first = world.target?.version ?? 0;
  const second = world.release(["web"], paced(rollout)).version;
  const rounds: string[] = [];
  const isOver = () => world.deploys.length === 2 && world.deploys.every(({ state }) => isFinalDeploy(state));
  for (let i = 0; i < 40 && !isOver(); i++) {
    world.plan();
    world.agents();
    world.plan();
    world.edges();
    const inRotation = (version: number) =>
      ofVersion(world, version).filter(({ rotation }) => rotation === "in").length;
    rounds.push(`${inRotation(first)}+${inRotation(second)} of ${world.live().length}`);
    world.nowMs += 1000;
  }
  return { world, rounds };
}

describe("a paced deploy", () => {
  test("takes over slot by slot, never below its scale, never more than a batch above it", () => {
    const { world, rounds } = watched(4, { batch: 1 });
    expect(world.deploys.at(-1)?.state).toBe("succeeded");
    for (const round of rounds) {
      const [old = 0, fresh = 0, all = 0] = round.match(/\d+/g)?.map(Number) ?? [];
      expect(old + fresh, rounds.join(" · ")).toBeGreaterThanOrEqual(4);
      // One that takes over, and one that drains still.
      expect(all, rounds.join(" · ")).toBeLessThanOrEqual(6);
    }
    expect(new Set(rounds).size).toBeGreaterThan(3);
  });

  test("without a wish for more, two releases are never in rotation before all of the new one are ready", () => {
    const { world, rounds } = watched(4, {});
    expect(world.deploys.at(-1)?.state).toBe("succeeded");
    expect(
      rounds.some((round) => /[1-9]\+[1-3] /.test(round)),
      rounds.join(" · "),
    ).toBe(false);
  });

  test("canaries hold with requests for the time that is asked before the others start", () => {
    const world = deployed(3);
    const { version } = world.release(["web"], paced({ canary: 1, minReadyMs: 5000 }));
    const settle = () => {
      world.plan();
      world.agents();
      world.plan();
      world.edges();
      world.plan();
    };
    settle();
    expect(ofVersion(world, version)).toMatchObject([{ ready: true, rotation: "out" }]);
    world.nowMs += 5000;
    settle();
    expect(ofVersion(world, version)).toMatchObject([{ rotation: "in" }]);
    world.nowMs += 4000;
    settle();
    expect(ofVersion(world, version)).toHaveLength(1);
    world.nowMs += 1000;
    settle();
    expect(ofVersion(world, version)).toHaveLength(3);
    for (let i = 0; i < 4; i++) {
      world.nowMs += 5000;
      settle();
    }
    expect(world.deploys.at(-1)?.state).toBe("succeeded");
  });

  test("one that fails on its way gives the slots back, the earlier release first", () => {
    const world = deployed(3);
    const { version } = world.release(["web"], paced({ batch: 1 }));
    for (let i = 0; i < 3; i++) {
      world.plan();
      world.agents();
      world.plan();
      world.edges();
      world.nowMs += 2000;
    }
    const took = ofVersion(world, version).filter(({ rotation }) => rotation === "in").length;
    expect(took).toBeGreaterThan(0);
    world.cancelled.add(world.target?.deployId as never);
    for (let i = 0; i < 12; i++) {
      world.plan();
      world.edges();
      expect(world.routed.size).toBeGreaterThanOrEqual(3);
      world.agents();
      world.nowMs += 2000;
    }
    expect(world.deploys.at(-1)?.state).toBe("cancelled");
    expect(world.live().map(({ releaseId }) => releaseId)).toEqual(["rel_1", "rel_1", "rel_1"]);
  });

  test("progress moves its deadline, and what its owner asks instances to hold is no lack of it", () => {
    const world = deployed(2);
    world.release(["web"], paced({ batch: 1, minReadyMs: LIMITS.deployDeadlineMs }));
    for (let i = 0; i < 12; i++) {
      world.plan();
      world.agents();
      world.plan();
      world.edges();
      world.nowMs += LIMITS.deployDeadlineMs / 2;
    }
    expect(world.deploys.at(-1)?.state).toBe("succeeded");
  });
});

test("instances that get ready one after the other are progress, although they take over together", () => {
  const world = deployed(3);
  world.release(["web"]);
  world.plan();
  const starting = world.live().filter(({ releaseId }) => releaseId !== "rel_1");
  expect(starting).toHaveLength(3);
  for (const job of starting) {
    world.nowMs += LIMITS.deployDeadlineMs * 0.9;
    world.plan();
    Object.assign(job, { state: "running", ready: true, readySinceMs: world.nowMs });
  }
  world.settle();
  expect(world.deploys.at(-1)?.state).toBe("succeeded");
});

test("an instance that gets ready again and again does not hold a deploy open for ever", () => {
  const world = deployed(2);
  world.release(["web"]);
  world.plan();
  const [flapping] = world.live().filter(({ releaseId }) => releaseId !== "rel_1");
  for (let i = 0; i < 8; i++) {
    Object.assign(flapping as Job, { state: "running", ready: true, readySinceMs: world.nowMs });
    world.nowMs += LIMITS.deployDeadlineMs / 2;
    world.plan();
  }
  expect(world.deploys.at(-1)).toMatchObject({ reasonCode: "deadline-passed" });
});

describe("minimum ready time", () => {
  const flap = (job: Job | undefined, world: PlannedService, restartsCount: number) =>
    Object.assign(job as Job, { readySinceMs: world.nowMs, restartsCount });

  test("an instance that comes and goes is not counted ready", () => {
    const world = deployed();
    const [old] = world.live();
    const { version } = world.release(["web"], paced({ minReadyMs: 3000 }));
    for (let i = 0; i < 10; i++) {
      world.plan();
      world.agents();
      world.plan();
      world.edges();
      flap(ofVersion(world, version)[0], world, 0);
      world.nowMs += 2000;
    }
    expect(world.deploys.at(-1)?.state).toBe("starting");
    expect(old).toMatchObject({ rotation: "in", desired: "run" });
    world.nowMs += 1000;
    world.settle();
    expect(world.deploys.at(-1)?.state).toBe("succeeded");
  });

  test("one that crashed once must hold, also where nobody asked for it", () => {
    const world = deployed();
    const { version } = world.release();
    world.plan();
    world.agents();
    flap(ofVersion(world, version)[0], world, 1);
    world.nowMs += 9000;
    world.plan();
    expect(world.deploys.at(-1)?.state).toBe("starting");
    world.nowMs += 1000;
    world.plan();
    expect(world.deploys.at(-1)?.state).toBe("routing");
  });
});

test("whatever happens, in any order: never fewer routed jobs than wished for, and it ends with one release", () => {
  const action = fc.constantFrom("plan", "agents", "fail", "edges", "release", "wait", "cancel");
  const rollout = fc.record({
    canary: fc.constantFrom(null, 1, 2),
    batch: fc.constantFrom(null, 1, 2),
    minReadyMs: fc.constantFrom(null, 4000),
  });
  fc.assert(
    fc.property(fc.array(fc.tuple(action, rollout), { maxLength: 80 }), (actions) => {
      const world = deployed(3);
      for (const [one, asked] of actions) {
        if (one === "plan") world.plan();
        if (one === "agents") world.agents();
        if (one === "fail") world.agents("failed");
        if (one === "release") world.release(["web"], paced(asked));
        if (one === "wait") world.nowMs += 3000;
        if (one === "cancel" && world.target !== null && world.target.version > 1)
          world.cancelled.add(world.target.deployId);
        if (one !== "edges") continue;
        world.edges();
        expect(world.routed.size).toBeGreaterThanOrEqual(3);
      }
      for (let i = 0; i < 10; i++) {
        world.settle();
        world.nowMs += 30_000;
      }
      expect(world.routed.size).toBe(3);
      expect(new Set(world.live().map(({ releaseId }) => releaseId)).size).toBe(1);
      expect(world.live()).toHaveLength(3);
      expect(world.deploys.every((deploy) => isFinalDeploy(deploy.state))).toBe(true);
    }),
    { numRuns: 500 },
  );
});
