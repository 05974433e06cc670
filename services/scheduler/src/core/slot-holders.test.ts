/** What happens to a service's instances while a host is away, by its policy. */
import type { HostId } from "@berth/shared/domain/ids.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import { PartitionPolicy, SINGLE_WRITER_POLICY } from "@berth/shared/domain/service-policy.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { deployed, type Job, PlannedService } from "../testing/planned-service.ts";

const H1 = "hst_1" as HostId;

/** One instance, on a host that falls silent now. */
function silent(policy: object): { service: PlannedService; job: Job } {
  const service = new PlannedService();
  service.policy = PartitionPolicy.parse(policy);
  service.release();
  service.settle();
  const job = service.live()[0] as Job;
  job.hostId = H1;
  service.hosts.set(H1, { state: "lost", lastHeartbeatAtMs: service.nowMs });
  service.unreachable.add(job.id);
  Object.assign(job, { state: "lost", ready: false });
  return { service, job };
}

function comesBack(service: PlannedService, job: Job): void {
  service.hosts.set(H1, { state: "alive", lastHeartbeatAtMs: service.nowMs });
  service.unreachable.delete(job.id);
}

const others = (service: PlannedService, job: Job) => service.live().filter((one) => one !== job);

describe("a host is away", () => {
  test("its instance is replaced when the service's time is over, not before", () => {
    const { service, job } = silent({ replaceAfterMs: 60_000 });
    service.nowMs += 59_999;
    service.plan();
    expect([others(service, job), job.desired]).toEqual([[], "run"]);
    service.nowMs += 1;
    service.plan();
    expect([others(service, job).length, job.desired]).toEqual([1, "stop"]);
  });

  test("nothing is replaced while evictions are frozen, or when the service is never replaced", () => {
    for (const policy of [{}, { replaceAfterMs: null }]) {
      const { service, job } = silent(policy);
      service.frozen = policy.replaceAfterMs !== null;
      service.nowMs += 86_400_000;
      service.plan();
      expect([others(service, job), job.desired]).toEqual([[], "run"]);
      comesBack(service, job);
      service.frozen = false;
      service.settle();
      expect(service.live()).toEqual([job]);
    }
  });

  test("an operator who removes the host says that it is dead", () => {
    const { service, job } = silent({ ...SINGLE_WRITER_POLICY, replaceAfterMs: null });
    service.plan();
    expect(others(service, job)).toEqual([]);
    service.hosts.clear();
    service.plan();
    expect(others(service, job)).toHaveLength(1);
  });

  test("keep-replacement: the original stops on its return", () => {
    const { service, job } = silent({});
    service.nowMs += 10_000;
    service.settle();
    comesBack(service, job);
    service.settle();
    expect(isFinal(job.state)).toBe(true);
    expect(service.live()).toHaveLength(1);
  });

  test("keep-original: it takes its slot back, and the replacement leaves when the edges serve the original", () => {
    const { service, job } = silent({ onReturn: "keep-original" });
    service.nowMs += 10_000;
    service.settle();
    const [replacement] = others(service, job);
    expect(replacement?.rotation).toBe("in");
    comesBack(service, job);
    service.agents();
    service.plan();
    expect([replacement?.desired, replacement?.leaving, job.away]).toEqual(["run", true, false]);
    service.settle();
    expect(service.live()).toEqual([job]);
  });

  test("keep-original: a release made meanwhile counts, the original of the old one stops", () => {
    const { service, job } = silent({ onReturn: "keep-original" });
    service.nowMs += 10_000;
    service.settle();
    const release = service.release();
    service.settle();
    comesBack(service, job);
    service.settle();
    expect(service.live().map(({ releaseId }) => releaseId)).toEqual([release.id]);
  });
});

describe("a single writer", () => {
  test("a deploy ends the old instance before the new one starts", () => {
    const service = new PlannedService();
    service.policy = SINGLE_WRITER_POLICY;
    service.release();
    service.settle();
    const old = service.live()[0] as Job;
    const release = service.release();
    service.settle();
    expect(isFinal(old.state)).toBe(true);
    expect(service.live().map(({ releaseId }) => releaseId)).toEqual([release.id]);
    expect(service.deploys.at(-1)?.state).toBe("succeeded");
  });

  test("after a failed deploy the release in rotation comes back", () => {
    const service = new PlannedService();
    service.policy = SINGLE_WRITER_POLICY;
    const first = service.release();
    service.settle();
    service.release();
    for (;;) {
      service.plan();
      if (service.live().some(({ releaseId }) => releaseId !== first.id)) break;
      service.agents();
      service.edges();
      service.nowMs += 2000;
    }
    service.agents("failed");
    service.settle();
    expect(service.deploys.at(-1)?.state).toBe("failed");
    expect(service.live().map(({ releaseId, ready }) => [releaseId, ready])).toEqual([[first.id, true]]);
  });

  test("an instance from before the service was one is waited for: its host was told of no lease", () => {
    const { service, job } = silent({});
    service.policy = SINGLE_WRITER_POLICY;
    service.release();
    service.nowMs += 86_400_000;
    service.plan();
    expect(others(service, job)).toEqual([]);
    comesBack(service, job);
    service.settle();
    expect(service.live().map(({ partition }) => partition.singleWriter)).toEqual([true]);
  });

  test("a drained host's instance ends before the next one starts", () => {
    const service = deployed();
    service.policy = SINGLE_WRITER_POLICY;
    const old = service.live()[0] as Job;
    old.hostId = H1;
    service.draining.add(H1);
    service.settle();
    expect(isFinal(old.state)).toBe(true);
    expect(service.live()).toHaveLength(1);
  });

  test("whatever happens, no second one is planned while the first may run", () => {
    const act = fc.constantFrom(
      "plan",
      "agents",
      "edges",
      "release",
      "lose",
      "return",
      "fail",
      "drain",
      "wait",
    );
    fc.assert(
      fc.property(fc.array(act, { minLength: 5, maxLength: 40 }), (acts) => {
        const service = new PlannedService();
        service.policy = SINGLE_WRITER_POLICY;
        service.release();
        service.settle();
        for (const one of acts) {
          play(service, one);
          service.plan();
          // Who is lost and given up has stopped by itself: its host's silence is longer than its lease.
          const may = service.live().filter((job) => job.state !== "lost" || job.desired !== "stop");
          expect(may.length).toBeLessThanOrEqual(1);
        }
      }),
      { numRuns: 500 },
    );
  });
});

function play(service: PlannedService, act: string): void {
  const job = service.live().find(({ state }) => state !== "lost");
  if (act === "agents" || act === "fail") service.agents(act === "fail" ? "failed" : "ready");
  if (act === "edges") service.edges();
  if (act === "release") service.release();
  if (act === "wait") service.nowMs += 30_000;
  if (act === "drain") service.draining.add(H1);
  if (act === "lose" && job !== undefined && job.state !== "requested") {
    job.hostId = H1;
    service.hosts.set(H1, { state: "lost", lastHeartbeatAtMs: service.nowMs });
    service.unreachable.add(job.id);
    Object.assign(job, { state: "lost", ready: false });
  }
  if (act === "return") {
    service.hosts.set(H1, { state: "alive", lastHeartbeatAtMs: service.nowMs });
    service.unreachable.clear();
    service.draining.clear();
    service.agents();
  }
}
