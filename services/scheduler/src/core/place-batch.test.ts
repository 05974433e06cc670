import type { HostId, OrgId, ServiceId } from "@berth/shared/domain/ids.ts";
import {
  BINPACK_WEIGHTS,
  DEFAULT_WEIGHTS,
  type HostState,
  NO_CONSTRAINTS,
} from "@berth/shared/domain/placement.ts";
import { DEFAULT_RESOURCES, GIB, MIB } from "@berth/shared/domain/resources.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { host, lot } from "../testing/placement.ts";
import type { BatchLot } from "./batch-lot.ts";
import { placeBatch } from "./place-batch.ts";

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

  test("larger ones first even out memory, whichever instances they are", () => {
    const sizes = [256, 128, 512, 256, 128, 1024].map((mib, i) =>
      lot(i + 1, {
        serviceId: `svc_${i}` as ServiceId,
        slot: 1 + (i % 3),
        resources: { ...DEFAULT_RESOURCES, memoryBytes: mib * MIB },
      }),
    );
    const placed = placeBatch(sizes, [host(1), host(2)], [], { ...DEFAULT_WEIGHTS, notStarting: 0 });
    expect(placed.map(({ jobId }) => jobId)[0]).toBe("job_6");
    const load = (hostId: string) =>
      placed.reduce((sum, one, at) => {
        const size = sizes.find(({ jobId }) => jobId === placed[at]?.jobId)?.resources.memoryBytes ?? 0;
        return one.outcome === "placed" && one.hostId === hostId ? sum + size : sum;
      }, 0);
    expect(Math.abs(load("hst_1") - load("hst_2"))).toBeLessThanOrEqual(256 * MIB);
  });

  test("where not all find room, a first instance comes before a larger second one", () => {
    const sized = (n: number, mib: number, slot: number) =>
      lot(n, {
        ...{ serviceId: `svc_${n}` as ServiceId, slot },
        resources: { ...DEFAULT_RESOURCES, memoryBytes: mib * MIB },
      });
    const small = host(1, { memoryTotalBytes: 512 * MIB, memoryFreeBytes: 512 * MIB });
    const outcomes = (...lots: BatchLot[]) =>
      Object.fromEntries(
        placeBatch(lots, [small], [], DEFAULT_WEIGHTS).map(({ jobId, outcome }) => [jobId, outcome]),
      );
    expect(outcomes(sized(1, 512, 2), sized(2, 256, 1))).toEqual({ job_1: "unplaceable", job_2: "placed" });
    // What fits no host at all does not count.
    expect(outcomes(sized(1, 9000, 1), sized(2, 256, 2))).toEqual({ job_1: "unplaceable", job_2: "placed" });
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

  test("constraints: labels, dedicated hosts, runtime, volume, apart, drained and cordoned hosts", () => {
    const policies = new Map([
      [host(1).hostId, { labels: { disk: "ssd" }, dedicatedTo: null, cordoned: false, draining: false }],
      [host(2).hostId, { labels: {}, dedicatedTo: "org_b" as OrgId, cordoned: false, draining: false }],
      [host(3).hostId, { labels: {}, dedicatedTo: null, cordoned: true, draining: false }],
      [host(4).hostId, { labels: {}, dedicatedTo: null, cordoned: false, draining: true }],
    ]);
    const hosts = [1, 2, 3, 4].map((n) => host(n));
    const ssd = lot(1, { constraints: { ...NO_CONSTRAINTS, labels: { disk: "ssd" } } });
    const [first] = placeBatch([ssd], hosts, [], DEFAULT_WEIGHTS, policies);
    expect(first).toMatchObject({ outcome: "placed", hostId: "hst_1" });
    expect(first?.candidates.map((one) => one.refusal?.code)).toEqual([
      undefined,
      "dedicated-to-another-org",
      "cordoned",
      "draining",
    ]);
    const code = (constraints: Partial<typeof NO_CONSTRAINTS>, state: Partial<HostState> = {}) =>
      placeBatch(
        [lot(1, { constraints: { ...NO_CONSTRAINTS, ...constraints } })],
        [host(1, state)],
        [],
        DEFAULT_WEIGHTS,
      )[0]?.candidates[0]?.refusal?.code;
    expect(code({ runtime: "runsc" })).toBe("runtime-missing");
    expect(code({ volumeId: "vol_1" })).toBe("volume-elsewhere");
    expect(code({ volumeId: "vol_1" }, { volumes: ["vol_1"] })).toBeUndefined();
    expect(code({ apart: true }, { instancesByService: { svc_a: 1 } })).toBe("must-be-apart");
    expect(code({}, { ceilings: [{ name: "kernel-keys", total: 200, free: 1, perJob: 2 }] })).toBe(
      "ceiling-kernel-keys",
    );
  });

  test("near its cache when asked, and one host after another when the pod fills hosts", () => {
    const near = lot(1, { constraints: { ...NO_CONSTRAINTS, nearServiceId: "svc_cache" as ServiceId } });
    const hosts = [
      host(1),
      host(2, { instancesByService: { svc_cache: 1 }, memoryFreeBytes: 3 * GIB }),
      host(3),
    ];
    expect(placeBatch([near], hosts, [], DEFAULT_WEIGHTS)[0]).toMatchObject({ hostId: "hst_2" });
    const apps = [1, 2, 3].map((n) => lot(n, { serviceId: `svc_${n}` as ServiceId, slot: 1 }));
    const filled = placeBatch(apps, [host(1), host(2), host(3)], [], BINPACK_WEIGHTS);
    expect(new Set(filled.map((one) => one.outcome === "placed" && one.hostId)).size).toBe(1);
  });
});

/** Diego's published auction simulations, with their tolerances. */
describe("spreading", () => {
  const SMALL = { ...DEFAULT_RESOURCES, memoryBytes: 16 * MIB, diskBytes: 0, cpuMillis: 10 };
  const app = (service: number, slot: number, memoryBytes = SMALL.memoryBytes): BatchLot =>
    lot(service * 1000 + slot, {
      serviceId: `svc_${service}` as ServiceId,
      slot,
      resources: { ...SMALL, memoryBytes },
    });
  const roomy = (n: number, given: Partial<HostState> = {}) =>
    host(n, {
      memoryTotalBytes: 64 * GIB,
      memoryFreeBytes: 64 * GIB,
      jobSlotsTotal: 1000,
      jobSlotsFree: 1000,
      ...given,
    });
  const countByHost = (lots: BatchLot[], hosts: HostState[]) => {
    const counts = new Map(hosts.map((one) => [one.hostId as string, 0]));
    for (const one of placeBatch(lots, hosts, [], DEFAULT_WEIGHTS)) {
      if (one.outcome === "placed") counts.set(one.hostId, (counts.get(one.hostId) ?? 0) + 1);
    }
    return [...counts.values()];
  };

  test.each([
    [4, 8],
    [4, 80],
    [4, 800],
    [10, 20],
    [10, 200],
    [10, 800],
    [20, 40],
    [20, 400],
    [40, 80],
    [40, 800],
  ])("%i hosts and %i instances: each host within one of the mean", (hostCount, instances) => {
    const hosts = Array.from({ length: hostCount }, (_one, i) => roomy(i));
    for (const lots of [
      Array.from({ length: instances }, (_one, i) => app(1, i + 1)),
      Array.from({ length: instances }, (_one, i) => app(i + 1, 1)),
    ]) {
      const counts = countByHost(lots, hosts);
      expect(Math.max(...counts) - instances / hostCount).toBeLessThanOrEqual(1);
      expect(instances / hostCount - Math.min(...counts)).toBeLessThanOrEqual(1);
    }
  });

  test.each([
    [25, 2050],
    [100, 8200],
  ])("%i hosts and %i mixed lots: within ten of the mean", (hostCount, instances) => {
    const hosts = Array.from({ length: hostCount }, (_one, i) => roomy(i));
    const sizes = [16, 32, 64];
    const lots = Array.from({ length: instances }, (_one, i) =>
      app(Math.floor(i / 3) + 1, (i % 3) + 1, (sizes[i % 3] ?? 16) * MIB),
    );
    const counts = countByHost(lots, hosts);
    const mean = instances / hostCount;
    for (const count of counts) expect(Math.abs(count - mean)).toBeLessThanOrEqual(10);
  });

  test("100 hosts of which five are empty: new work spreads within one and does not flood the empty ones", () => {
    const full = { memoryFreeBytes: 32 * GIB, jobSlotsFree: 900 };
    const hosts = Array.from({ length: 100 }, (_one, i) => roomy(i, i < 5 ? {} : full));
    const counts = countByHost(
      Array.from({ length: 500 }, (_one, i) => app(1, i + 1)),
      hosts,
    );
    expect(Math.max(...counts)).toBeLessThanOrEqual(6);
    expect(Math.min(...counts)).toBeGreaterThanOrEqual(4);
    const apps = countByHost(
      Array.from({ length: 500 }, (_one, i) => app(i + 1, 1)),
      hosts,
    );
    expect(Math.max(...apps.slice(0, 5))).toBeLessThanOrEqual(500 / 100 + 4);
  });

  test("a lone, loaded host in its zone still gets the zone's share", () => {
    const hosts = [
      roomy(0, { zone: "a", memoryFreeBytes: 4 * GIB }),
      ...[1, 2, 3, 4].map((n) => roomy(n, { zone: "b" })),
    ];
    const counts = countByHost(
      Array.from({ length: 40 }, (_one, i) => app(1, i + 1)),
      hosts,
    );
    expect(counts[0]).toBe(20);
  });

  test("boulders and pebbles: what fits is placed, the rest refused with the true common reason", () => {
    const hosts = [1, 2].map((n) => roomy(n, { memoryTotalBytes: 64 * MIB, memoryFreeBytes: 64 * MIB }));
    const pebbles = Array.from({ length: 6 }, (_one, i) => app(i + 1, 1, 16 * MIB));
    const boulders = [app(90, 1, 64 * MIB), app(91, 1, 64 * MIB)];
    const placed = placeBatch([...pebbles, ...boulders], hosts, [], DEFAULT_WEIGHTS);
    const outcome = new Map(placed.map((one) => [one.jobId, one]));
    for (const boulder of boulders) expect(outcome.get(boulder.jobId)?.outcome).toBe("placed");
    for (const pebble of pebbles) {
      const one = outcome.get(pebble.jobId);
      expect(one?.outcome).toBe("unplaceable");
      expect(one?.outcome === "unplaceable" && one.commonRefusal).toContain("not-enough-memory");
    }
  });
});
