import type { DeployId } from "@berth/shared/domain/ids.ts";
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

describe("a deploy of what runs already", () => {
  const [old, next] = ["sha256:old", "sha256:new"];
  const SVC = "svc_a";
  /** Its old instances are counted, and its old image is there. */
  const running = (n: number, count: number, given: Partial<HostState> = {}) =>
    host(n, { instancesByService: { [SVC]: count }, imageDigests: [old], ...given });
  const over = (slot: number, from: number, imageDigest = old, memoryBytes = DEFAULT_RESOURCES.memoryBytes) =>
    lot(slot, {
      ...{ imageDigest, former: { hostId: host(from).hostId, imageDigest: old, instancesCount: 9 } },
      resources: { ...DEFAULT_RESOURCES, memoryBytes },
    });
  const placesOf = (lots: BatchLot[], hosts: HostState[], weights = DEFAULT_WEIGHTS) =>
    placeBatch(lots, hosts, [], weights).map((one) => (one.outcome === "placed" ? one.hostId : one.outcome));

  test.each([
    ["a changed variable", old],
    ["a new image, of which most layers are there", next],
  ])(
    "%s: the new instance starts where the old one is, though other hosts are a little emptier",
    (_, image) => {
      const free = 4 * GIB - DEFAULT_RESOURCES.memoryBytes;
      const here = running(2, 1, { memoryFreeBytes: free - 512 * MIB, diskFreeBytes: 80 * GIB });
      expect(placesOf([over(1, 2, image)], [host(1), here, host(3)])).toEqual(["hst_2"]);
      expect(placesOf([over(1, 2, image)], [host(1), here, host(3)], BINPACK_WEIGHTS)).toEqual(["hst_2"]);
    },
  );

  test("not where it is full, and not where another host is much emptier", () => {
    const place = (memoryFreeBytes: number) =>
      placesOf([over(1, 2)], [host(1), running(2, 1, { memoryFreeBytes })]);
    expect(place(100 * MIB)).toEqual(["hst_1"]);
    expect(place(1 * GIB)).toEqual(["hst_1"]);
    expect(place(3 * GIB)).toEqual(["hst_2"]);
  });

  test("what an instance takes says nothing against its own host: it gives that back", () => {
    const half = 2 * GIB;
    const here = running(2, 1, { memoryFreeBytes: half });
    expect(placesOf([over(1, 2, old, half)], [host(1), here])).toEqual(["hst_2"]);
  });

  test("more instances stay spread, and become so where they were not", () => {
    const each = [1, 2, 3].map((n) => running(n, 1));
    expect(placesOf([over(1, 1), over(2, 2), over(3, 3)], each)).toEqual(["hst_1", "hst_2", "hst_3"]);
    const both = [over(1, 1), over(2, 1)];
    expect(placesOf(both, [running(1, 2), host(2)]).toSorted()).toEqual(["hst_1", "hst_2"]);
    // One more than before goes where none is, image or not.
    const grown = [over(1, 1), over(2, 2), lot(3, { imageDigest: old })];
    expect(placesOf(grown, [running(1, 1), running(2, 1), host(3)])).toEqual(["hst_1", "hst_2", "hst_3"]);
  });

  test("more instances of the former release, started in the same moment, do not keep the next ones from spreading", () => {
    const more = [2, 3].map((slot) => ({
      ...lot(slot + 10, { slot, imageDigest: old }),
      deployId: "dpl_former" as DeployId,
    }));
    const small = { ...DEFAULT_RESOURCES, memoryBytes: 32 * MIB };
    const after = [
      over(1, 3, old, 32 * MIB),
      ...[2, 3].map((n) => lot(n, { imageDigest: old, resources: small })),
    ];
    const hosts = [host(1), host(2), running(3, 1)];
    const placed = new Map(
      placeBatch([...more, ...after], hosts, [], DEFAULT_WEIGHTS).map((one) => [
        one.jobId,
        one.outcome === "placed" ? one.hostId : one.outcome,
      ]),
    );
    const hostsOf = (lots: readonly BatchLot[]) => lots.map(({ jobId }) => placed.get(jobId)).toSorted();
    expect(hostsOf(after)).toEqual(["hst_1", "hst_2", "hst_3"]);
    expect(new Set(hostsOf(more)).size).toBe(2);
  });

  test("an instance that the record knows to have ended does not count, though its host has not said so yet", () => {
    const counted = (instancesCount: number) => {
      const one = over(1, 1);
      return { ...one, former: { hostId: host(1).hostId, imageDigest: old, instancesCount } };
    };
    const hosts = [running(1, 2), host(2)];
    expect(placesOf([counted(1)], hosts)).toEqual(["hst_1"]);
    expect(placesOf([counted(2)], hosts)).toEqual(["hst_2"]);
  });

  test("an instance that must be apart starts nowhere beside the one that it replaces", () => {
    const apart = { ...over(1, 1), constraints: { ...NO_CONSTRAINTS, apart: true } };
    expect(placesOf([apart], [running(1, 1), host(2)])).toEqual(["hst_2"]);
    expect(placesOf([apart], [running(1, 1)])).toEqual(["unplaceable"]);
  });

  test("its zone counts without it: alone it stays, and two stay in two", () => {
    const hosts = [running(1, 1, { zone: "a" }), host(2, { zone: "b" }), host(3, { zone: "b" })];
    expect(placesOf([over(1, 1)], hosts)).toEqual(["hst_1"]);
    const two = [running(1, 1, { zone: "a" }), running(2, 1, { zone: "b" }), host(3, { zone: "b" })];
    expect(placesOf([over(1, 1), over(2, 2)], two)).toEqual(["hst_1", "hst_2"]);
    const crowded = [running(1, 2, { zone: "a" }), host(2, { zone: "b" })];
    expect(placesOf([over(1, 1), over(2, 1)], crowded).toSorted()).toEqual(["hst_1", "hst_2"]);
  });

  test("never two on one host while another one that could take it has none", () => {
    const counts = fc.array(fc.nat(3), { minLength: 2, maxLength: 6 });
    fc.assert(
      fc.property(counts, fc.boolean(), (before, isSameImage) => {
        const hosts = before.map((count, n) => running(n, count));
        const lots = before
          .flatMap((count, n) => Array.from({ length: count }, () => n))
          .map((from, index) => over(index + 1, from, isSameImage ? old : next));
        const after = Map.groupBy(placesOf(lots, hosts), (hostId) => hostId);
        const sizes = hosts.map(({ hostId }) => after.get(hostId)?.length ?? 0);
        if (lots.length >= hosts.length) expect(Math.min(...sizes)).toBeGreaterThan(0);
        else expect(Math.max(0, ...sizes)).toBeLessThanOrEqual(1);
      }),
      { numRuns: 300 },
    );
  });
});
