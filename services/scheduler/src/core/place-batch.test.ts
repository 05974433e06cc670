import type { HostId, JobId, ServiceId } from "@berth/shared/domain/ids.ts";
import { DEFAULT_WEIGHTS, type HostState } from "@berth/shared/domain/placement.ts";
import { DEFAULT_RESOURCES, GIB, MIB } from "@berth/shared/domain/resources.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type BatchLot, placeBatch } from "./place-batch.ts";

function host(n: number, given: Partial<HostState> = {}): HostState {
  return {
    hostId: `hst_${n}` as HostId,
    name: `host-${n}`,
    zone: "a",
    memoryTotalBytes: 4 * GIB,
    memoryFreeBytes: 4 * GIB,
    diskTotalBytes: 100 * GIB,
    diskFreeBytes: 100 * GIB,
    cpuTotalMillis: 2000,
    jobSlotsTotal: 100,
    jobSlotsFree: 100,
    startingCount: 0,
    instancesByService: {},
    imageDigests: [],
    cordoned: false,
    unavailable: [],
    ...given,
  };
}

function lot(n: number, given: Partial<BatchLot> = {}): BatchLot {
  return {
    jobId: `job_${n}` as JobId,
    serviceId: "svc_a" as ServiceId,
    process: "web",
    slot: n,
    resources: DEFAULT_RESOURCES,
    imageDigest: "sha256:x",
    imageBytes: 0,
    declinedBy: new Map(),
    ...given,
  };
}

describe("placeBatch", () => {
  test("three replicas land on three hosts", () => {
    const placed = placeBatch([lot(1), lot(2), lot(3)], [host(1), host(2), host(3)], [], DEFAULT_WEIGHTS);
    expect(new Set(placed.map((one) => (one.outcome === "placed" ? one.hostId : ""))).size).toBe(3);
  });

  test("every host is a candidate, with its terms or its refusal", () => {
    const [placement] = placeBatch(
      [lot(1)],
      [host(1), host(2, { memoryFreeBytes: 10 * MIB }), host(3, { cordoned: true })],
      [
        {
          hostId: "hst_4" as HostId,
          host: "host-4",
          refusal: { code: "host-silent", detail: "no heartbeat" },
        },
      ],
      DEFAULT_WEIGHTS,
    );
    expect(placement?.candidates.map((one) => one.refusal?.code ?? "bid")).toEqual([
      "bid",
      "not-enough-memory",
      "cordoned",
      "host-silent",
    ]);
    expect(placement).toMatchObject({ outcome: "placed", hostId: "hst_1" });
  });

  test("what can never fit is hopeless and says both sizes", () => {
    const big = lot(1, { resources: { ...DEFAULT_RESOURCES, memoryBytes: 64 * GIB } });
    const [placement] = placeBatch([big], [host(1), host(2)], [], DEFAULT_WEIGHTS);
    expect(placement).toMatchObject({ outcome: "unplaceable", hopeless: true });
  });

  test("what does not fit now is not hopeless, and names the common reason", () => {
    const [placement] = placeBatch([lot(1)], [host(1, { memoryFreeBytes: 0 })], [], DEFAULT_WEIGHTS);
    expect(placement).toMatchObject({ outcome: "unplaceable", hopeless: false });
    expect(placement?.outcome === "unplaceable" && placement.commonRefusal).toContain("not-enough-memory");
  });

  test("an empty pod is an answer", () => {
    expect(placeBatch([lot(1)], [], [], DEFAULT_WEIGHTS)[0]).toMatchObject({
      outcome: "unplaceable",
      commonRefusal: "the pod has no hosts",
    });
  });

  test("the order of hosts does not matter, and memory is never over-committed", () => {
    const hosts = fc.array(fc.record({ free: fc.integer({ min: 0, max: 4 * GIB }), starting: fc.nat(5) }), {
      minLength: 1,
      maxLength: 8,
    });
    const lots = fc.array(fc.integer({ min: 16 * MIB, max: 2 * GIB }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(hosts, lots, fc.infiniteStream(fc.nat(1000)), (given, sizes, order) => {
        const states = given.map((one, i) =>
          host(i, { memoryFreeBytes: one.free, startingCount: one.starting }),
        );
        const batch = sizes.map((memoryBytes, i) =>
          lot(i + 1, { resources: { ...DEFAULT_RESOURCES, memoryBytes } }),
        );
        const shuffled = states
          .map((state) => ({ state, key: order.next().value as number }))
          .sort((a, b) => a.key - b.key);
        const one = placeBatch(batch, states, [], DEFAULT_WEIGHTS);
        const other = placeBatch(
          batch,
          shuffled.map((entry) => entry.state),
          [],
          DEFAULT_WEIGHTS,
        );
        const winners = (placements: typeof one) =>
          placements.map((p) => [p.jobId, p.outcome === "placed" ? p.hostId : null]);
        expect(winners(other)).toEqual(winners(one));
        const used = new Map<string, number>();
        for (const placement of one) {
          if (placement.outcome !== "placed") continue;
          const size = batch.find((entry) => entry.jobId === placement.jobId)?.resources.memoryBytes ?? 0;
          used.set(placement.hostId, (used.get(placement.hostId) ?? 0) + size);
        }
        for (const state of states)
          expect(used.get(state.hostId) ?? 0).toBeLessThanOrEqual(state.memoryFreeBytes);
      }),
      { numRuns: 200 },
    );
  });
});
