import type { DeployId, HostId, JobId, OrgId, ServiceId } from "@berth/shared/domain/ids.ts";
import { HostState, NO_CONSTRAINTS } from "@berth/shared/domain/placement.ts";
import { DEFAULT_RESOURCES, GIB } from "@berth/shared/domain/resources.ts";
import { describe, expect, test } from "vitest";
import type { BatchLot } from "./batch-lot.ts";
import { judgePods } from "./judge-pods.ts";
import { placePods } from "./place-pods.ts";

const hostId = (name: string) => `hst_01hf00000000000000000000${name}` as HostId;
const bid = (name: string, freeGib: number, zone = "a") =>
  HostState.parse({
    ...{ hostId: hostId(name), name, zone, memoryTotalBytes: 8 * GIB, memoryFreeBytes: freeGib * GIB },
    ...{ diskTotalBytes: 100 * GIB, diskFreeBytes: 100 * GIB, cpuTotalMillis: 4000, jobSlotsTotal: 50 },
    ...{ jobSlotsFree: 50, startingCount: 0, instancesByService: {}, imageDigests: [], cordoned: false },
    unavailable: [],
  });
const lot = (service: string): BatchLot => ({
  ...{ jobId: `job_${service}` as JobId, orgId: "org_a" as OrgId, serviceId: service as ServiceId },
  ...{ process: "web", slot: 1, resources: DEFAULT_RESOURCES, imageDigest: "sha256:x", imageBytes: 0 },
  ...{ constraints: NO_CONSTRAINTS, declinedBy: new Map(), deployId: "dpl_a" as DeployId },
});
const pods = {
  strategies: new Map([["eu", "binpack" as const]]),
  ofHost: new Map([
    [hostId("e1"), "eu"],
    [hostId("e2"), "eu"],
  ]),
  ofService: new Map([
    ["far", "eu"],
    ["none", "us"],
  ]),
};
const place = (service: string, ...bids: HostState[]) =>
  placePods([lot(service)], bids, [], pods, new Map())[0];

describe("placePods", () => {
  test("a lot goes to its own pod's hosts, by that pod's strategy", () => {
    const bids = [bid("m1", 2), bid("m2", 6), bid("e1", 6), bid("e2", 2)];
    expect(place("near", ...bids)).toMatchObject({ outcome: "placed", hostId: hostId("m2") });
    expect(place("far", ...bids)).toMatchObject({ outcome: "placed", hostId: hostId("e2") });
  });

  test("hosts of other pods are told as refusals, and are no reason of their own", () => {
    const placed = place("far", bid("m1", 8), bid("e1", 0));
    expect(placed?.candidates.map(({ host, refusal }) => [host, refusal?.code])).toEqual([
      ["e1", "not-enough-memory"],
      ["m1", "other-pod"],
    ]);
    expect(placed).toMatchObject({ outcome: "unplaceable" });
    expect(placed?.outcome === "unplaceable" && placed.commonRefusal).toContain(
      "not-enough-memory on every host",
    );
    const nowhere = place("none", bid("m1", 8));
    expect(nowhere?.outcome === "unplaceable" && nowhere.commonRefusal).toBe("the pod has no hosts");
  });

  test("another pod's empty zone takes no score from the own zones", () => {
    const own = bid("e1", 4, "a");
    const crowded = { ...own, instancesByService: { far: 2 } };
    const placed = place("far", crowded, bid("e2", 4, "a"), bid("m1", 8, "z"));
    expect(placed?.candidates[0]?.terms?.zoneBalance).toBe(1);
  });
});

describe("judgePods", () => {
  test("a pod that was frozen a moment ago loses nobody, another one does", () => {
    const host = (pod: string, i: number, silentMs: number) => ({
      ...{ hostId: `hst_${pod}${i}` as HostId, pod, state: "suspect" as const },
      lastHeartbeatAtMs: 100_000 - silentMs,
    });
    const given = ["a", "b"].flatMap((pod) => [0, 0, 60_000].map((silentMs, i) => host(pod, i, silentMs)));
    const limits = { suspectAfterMs: 6000, lostAfterMs: 10_000 };
    const { verdicts } = judgePods(given, 100_000, 0, limits, new Map([["a", 98_000]]));
    const lost = verdicts.filter(({ state }) => state === "lost").map(({ hostId }) => hostId);
    expect(lost).toEqual(["hst_b2"]);
  });

  const LIMITS = { suspectAfterMs: 6000, lostAfterMs: 10_000 };
  const judge = (...given: [pod: string, silentMs: number][]) =>
    judgePods(
      given.map(([pod, silent], i) => ({
        ...{
          hostId: `hst_${i}` as HostId,
          pod,
          state: "alive" as const,
          lastHeartbeatAtMs: 100_000 - silent,
        },
      })),
      100_000,
      0,
      LIMITS,
    );

  test("a pod that is cut off as a whole loses nothing; a host of a pod that is heard does", () => {
    const { verdicts, frozenPods } = judge(
      ["a", 0],
      ["a", 0],
      ["a", 20_000],
      ["a", 0],
      ["b", 20_000],
      ["b", 20_000],
      ["a", 0],
    );
    expect(verdicts.map(({ state }) => state).sort()).toEqual([
      "alive",
      "alive",
      "alive",
      "alive",
      "lost",
      "suspect",
      "suspect",
    ]);
    expect(frozenPods).toEqual(["b"]);
  });

  test("when more than half of all fall silent, no pod loses anything", () => {
    const { verdicts, frozenPods } = judge(["a", 0], ["a", 0], ["a", 20_000], ["b", 20_000], ["b", 20_000]);
    expect(verdicts.map(({ state }) => state)).not.toContain("lost");
    expect(frozenPods).toEqual(["a", "b"]);
  });

  test("one pod is judged as hosts without pods are", () => {
    expect(judge(["a", 0], ["a", 0], ["a", 20_000]).verdicts.map(({ state }) => state)).toEqual([
      "alive",
      "alive",
      "lost",
    ]);
  });
});
