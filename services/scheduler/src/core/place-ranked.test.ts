/** Both ways of placing a batch decide the same, whatever the hosts and the lots. */
import type { DeployId, HostId, JobId, OrgId, ServiceId } from "@berth/shared/domain/ids.ts";
import {
  BINPACK_WEIGHTS,
  DEFAULT_WEIGHTS,
  type HostState,
  NO_CONSTRAINTS,
  type Refusal,
} from "@berth/shared/domain/placement.ts";
import { GIB, MIB } from "@berth/shared/domain/resources.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { BatchLot } from "./batch-lot.ts";
import type { HostPolicy } from "./candidates.ts";
import { byScore, HostHeap } from "./host-heap.ts";
import { type Batch, type Placement, placeBy } from "./place-batch.ts";

const services = fc.integer({ min: 1, max: 5 }).map((n) => `svc_${n}` as ServiceId);
const images = fc.integer({ min: 1, max: 4 }).map((n) => `sha256:${n}`);

const hosts = fc.array(
  fc.record({
    zone: fc.constantFrom("a", "b", "c"),
    memoryFreeBytes: fc.constantFrom(0, 100 * MIB, 512 * MIB, 1 * GIB, 4 * GIB),
    diskFreeBytes: fc.constantFrom(0, 1 * GIB, 50 * GIB),
    cpuFreeMillis: fc.constantFrom(100, 4000, 64_000),
    jobSlotsFree: fc.constantFrom(0, 1, 3, 50),
    startingCount: fc.nat(4),
    instancesByService: fc.dictionary(services, fc.nat(3), { maxKeys: 3 }),
    imageDigests: fc.uniqueArray(images, { maxLength: 3 }),
    runtimes: fc.constantFrom<string[]>(["runc"], ["runc", "runsc"]),
    volumes: fc.constantFrom<string[]>([], ["vol_1"]),
    cordoned: fc.constantFrom(false, false, false, true),
  }),
  { minLength: 1, maxLength: 70 },
);

const lots = fc.array(
  fc.record({
    serviceId: services,
    orgId: fc.constantFrom("org_a" as OrgId, "org_b" as OrgId),
    slot: fc.integer({ min: 1, max: 4 }),
    imageDigest: images,
    memoryBytes: fc.constantFrom(64 * MIB, 256 * MIB, 1 * GIB, 8 * GIB),
    cpuMillis: fc.constantFrom(100, 1000),
    apart: fc.boolean(),
    near: fc.option(services, { nil: null }),
    runtime: fc.constantFrom("runc", "runc", "runsc"),
    volumeId: fc.constantFrom(null, null, null, "vol_1"),
    label: fc.constantFrom(null, null, "ssd"),
    declines: fc.array(fc.nat(69), { maxLength: 2 }),
    former: fc.option(fc.record({ at: fc.nat(69), imageDigest: images }), { nil: null }),
  }),
  { minLength: 1, maxLength: 60 },
);

const policies = fc.array(
  fc.record({
    labels: fc.constantFrom<Record<string, string>>({}, { disk: "ssd" }),
    dedicatedTo: fc.constantFrom(null, null, "org_a" as OrgId),
    cordoned: fc.constantFrom(false, false, false, true),
    draining: fc.constantFrom(false, false, false, true),
  }),
  { minLength: 70, maxLength: 70 },
);

const hostId = (n: number) => `hst_${String(n).padStart(3, "0")}` as HostId;
const declined: Refusal = { code: "declined", detail: "said so" };

const batches = fc.record({ hosts, lots, policies, pack: fc.boolean() }).map((given): Batch => {
  const bids = given.hosts.map(
    (one, n): HostState => ({
      ...{ hostId: hostId(n), name: `host-${n}`, memoryTotalBytes: 4 * GIB, diskTotalBytes: 100 * GIB },
      ...{ cpuTotalMillis: 4000, jobSlotsTotal: 50, ceilings: [], alarms: [], unavailable: [] },
      ...one,
    }),
  );
  const put = given.lots.map(
    ({ memoryBytes, cpuMillis, apart, near, runtime, volumeId, former, ...one }, n) => ({
      ...{ jobId: `job_${n}` as JobId, process: "web", imageBytes: 0, ...one },
      resources: { memoryBytes, cpuMillis, diskBytes: 128 * MIB, pidsCount: 64 },
      constraints: {
        ...NO_CONSTRAINTS,
        ...{
          apart,
          runtime,
          volumeId,
          nearServiceId: near,
          labels: one.label === null ? {} : { disk: one.label },
        },
      },
      ...(former === null
        ? {}
        : { former: { hostId: hostId(former.at), imageDigest: former.imageDigest, instancesCount: 2 } }),
      deployId: (former === null ? "dpl_a" : "dpl_b") as DeployId,
      declinedBy: new Map(one.declines.map((at) => [hostId(at), declined])),
    }),
  );
  return {
    lots: put.map(({ label: _label, declines: _declines, ...lot }): BatchLot => lot),
    ...{ bids, silent: [], weights: given.pack ? BINPACK_WEIGHTS : DEFAULT_WEIGHTS },
    policies: new Map(given.policies.map((policy, n): [HostId, HostPolicy] => [hostId(n), policy])),
  };
});

/** The words of one refusing host may be any such host's; how many refuse with each code may not differ. */
function essence(placement: Placement, small: boolean) {
  const candidates = placement.candidates.map(({ hostId: id, host, bid, score, terms, refusal }) =>
    refusal === null || small
      ? { id, host, bid, score, terms, refusal }
      : { code: refusal.code, more: /\(and \d+ more hosts?\)$/.exec(refusal.detail)?.[0] },
  );
  const sorted = candidates.map((one) => JSON.stringify(one)).sort();
  if (placement.outcome === "placed") return { ...placement, candidates: sorted };
  const { jobId, hopeless, commonRefusal } = placement;
  return { jobId, hopeless, commonRefusal: commonRefusal.split(" (")[0], candidates: sorted };
}

describe("place-ranked", () => {
  test("decides what place-each decides, lot by lot, with the same scores and counts", () => {
    fc.assert(
      fc.property(batches, (batch) => {
        const small = batch.bids.length <= 50;
        const plain = placeBy("each", batch).map((one) => essence(one, small));
        const ranked = placeBy("ranked", batch).map((one) => essence(one, small));
        expect(ranked).toEqual(plain);
      }),
      { numRuns: 300 },
    );
  });

  test("keeps deciding the same where most hosts are full and the batch fills the rest", () => {
    const bids = Array.from({ length: 400 }, (_, n): HostState => {
      const free = n % 7 === 0 ? 1 * GIB : 0;
      return {
        ...{ hostId: hostId(n), name: `h${n}`, zone: "abc"[n % 3] as string, memoryTotalBytes: 4 * GIB },
        ...{
          memoryFreeBytes: free,
          diskTotalBytes: 100 * GIB,
          diskFreeBytes: 90 * GIB,
          cpuTotalMillis: 4000,
        },
        ...{ cpuFreeMillis: 64_000, ceilings: [], runtimes: ["runc"], volumes: [], jobSlotsTotal: 100 },
        ...{ jobSlotsFree: 100, startingCount: n % 2, instancesByService: {}, imageDigests: [] },
        ...{ cordoned: false, alarms: [], unavailable: [] },
      };
    });
    const put = Array.from(
      { length: 300 },
      (_, n): BatchLot => ({
        ...{ jobId: `job_${n}` as JobId, orgId: "org_a" as OrgId, serviceId: `svc_${n % 40}` as ServiceId },
        ...{ process: "web", slot: 1 + (n % 5), imageDigest: `sha256:${n % 40}`, imageBytes: 0 },
        resources: { memoryBytes: (1 + (n % 4)) * 128 * MIB, cpuMillis: 100, diskBytes: 0, pidsCount: 64 },
        ...{ constraints: NO_CONSTRAINTS, declinedBy: new Map(), deployId: "dpl_a" as DeployId },
      }),
    );
    const batch: Batch = { lots: put, bids, silent: [], weights: DEFAULT_WEIGHTS, policies: new Map() };
    const plain = placeBy("each", batch);
    expect(placeBy("ranked", batch).map((one) => essence(one, false))).toEqual(
      plain.map((one) => essence(one, false)),
    );
    expect(new Set(plain.map(({ outcome }) => outcome))).toEqual(new Set(["placed", "unplaceable"]));
  });
});

test("a heap of hosts gives the best in order while scores change and hosts go", () => {
  const steps = fc.array(
    fc.record({
      index: fc.nat(30),
      score: fc.nat(9),
      gone: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
    }),
    { maxLength: 120 },
  );
  fc.assert(
    fc.property(steps, fc.uniqueArray(fc.nat(30), { maxLength: 6 }), (given, skip) => {
      const heap = new HostHeap(31);
      const plain = new Map<number, number>();
      for (const { index, score, gone } of given) {
        if (gone) heap.remove(index);
        else heap.set(index, score);
        if (gone) plain.delete(index);
        else plain.set(index, score);
      }
      const without = new Set(skip);
      const sorted = [...plain]
        .map(([index, score]) => ({ index, score }))
        .filter(({ index }) => !without.has(index))
        .sort(byScore);
      expect(heap.best(5, without)).toEqual(sorted.slice(0, 5));
      expect(heap.best(100, without)).toEqual(sorted);
    }),
  );
});
