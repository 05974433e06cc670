/** The rebalancer's plan: what it moves, what it leaves, and that it comes to rest. */
import type { HostId, JobId, OrgId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { HostState } from "@berth/shared/domain/placement.ts";
import { BINPACK_WEIGHTS, DEFAULT_WEIGHTS, NO_CONSTRAINTS } from "@berth/shared/domain/placement.ts";
import { DEFAULT_RESOURCES, GIB, MIB } from "@berth/shared/domain/resources.ts";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { HostPolicy } from "./candidates.ts";
import { type MovableJob, type MovesGiven, planMoves } from "./plan-moves.ts";

const LIMITS = { leastGain: 0.1, mostMoves: 1000 };
const hostId = (n: number) => `hst_${n}` as HostId;

interface Placed {
  readonly service: number;
  readonly host: number;
  readonly memoryBytes: number;
}

function pod(hostsCount: number, placed: readonly Placed[], zones = 1): MovesGiven {
  const jobs = placed.map(({ service, host, memoryBytes }, i): MovableJob => {
    const key = {
      jobId: `job_${String(i).padStart(3, "0")}` as JobId,
      serviceId: `svc_${service}` as ServiceId,
      process: "web",
    };
    const resources = { ...DEFAULT_RESOURCES, memoryBytes };
    const lot = {
      ...key,
      orgId: "org_1" as OrgId,
      resources,
      imageDigest: "i",
      imageBytes: 0,
      constraints: NO_CONSTRAINTS,
    };
    return { ...key, slot: i + 1, hostId: hostId(host), lot };
  });
  const hosts = Array.from({ length: hostsCount }, (_, n): HostState => {
    const here = jobs.filter((job) => job.hostId === hostId(n));
    const counts: Record<string, number> = {};
    for (const { serviceId } of here) counts[serviceId] = (counts[serviceId] ?? 0) + 1;
    const used = here.reduce((sum, { lot }) => sum + lot.resources.memoryBytes, 0);
    return {
      hostId: hostId(n),
      name: `h${n}`,
      zone: `z${n % zones}`,
      memoryTotalBytes: 64 * GIB,
      memoryFreeBytes: 64 * GIB - used,
      diskTotalBytes: 1000 * GIB,
      diskFreeBytes: 900 * GIB,
      cpuTotalMillis: 64_000,
      cpuFreeMillis: 256_000,
      ceilings: [],
      runtimes: ["runc"],
      volumes: [],
      jobSlotsTotal: 500,
      jobSlotsFree: 500 - here.length,
      startingCount: 0,
      instancesByService: counts,
      imageDigests: [],
      cordoned: false,
      unavailable: [],
    } as unknown as HostState;
  });
  return { jobs, hosts, policies: new Map(), weights: DEFAULT_WEIGHTS };
}

/** The pod after its plan was carried out. */
function carriedOut(placed: readonly Placed[], moves: ReturnType<typeof planMoves>): Placed[] {
  return placed.map((one, i) => {
    const move = moves.find(({ jobId }) => jobId === `job_${String(i).padStart(3, "0")}`);
    return move === undefined ? one : { ...one, host: Number(move.toHostId.slice(4)) };
  });
}

/** Plans, carries out and plans again until nothing is worth a move. */
function settle(
  hostsCount: number,
  placed: readonly Placed[],
  zones = 1,
): { placed: Placed[]; count: number } {
  let now = [...placed];
  for (let count = 0; ; ) {
    const moves = planMoves(pod(hostsCount, now, zones), { ...LIMITS, mostMoves: 1 });
    if (moves.length === 0) return { placed: now, count };
    count += moves.length;
    expect(count, "the plan does not come to rest").toBeLessThan(500);
    now = carriedOut(now, moves);
  }
}

const many = (count: number, host: number, service = 0): Placed[] =>
  Array.from({ length: count }, () => ({ service, host, memoryBytes: 256 * MIB }));
const perHost = (placed: readonly Placed[], hostsCount: number) =>
  Array.from({ length: hostsCount }, (_, n) => placed.filter(({ host }) => host === n).length);

test("a service that gathered on one host is spread, and an even one is left alone", () => {
  const { placed } = settle(3, many(6, 0));
  expect(perHost(placed, 3)).toEqual([2, 2, 2]);
  expect(planMoves(pod(3, placed), LIMITS)).toEqual([]);
});

test("a new empty host gets its share", () => {
  const full = [0, 1].flatMap((host) =>
    Array.from({ length: 12 }, (_, i) => ({ service: host * 12 + i, host, memoryBytes: 4 * GIB })),
  );
  const { placed } = settle(3, full);
  for (const count of perHost(placed, 3)) expect(count).toBeGreaterThanOrEqual(6);
  const [first] = planMoves(pod(3, full), LIMITS);
  expect(first).toMatchObject({
    toHostId: "hst_2",
    reason: expect.stringMatching(/^h\d is 75 % full, h2 0 %$/),
  });
});

test("nothing moves to a host that is cordoned, drained or of another org, nor for a small gain", () => {
  const given = pod(2, many(4, 0));
  const closed = (policy: Partial<HostPolicy>): MovesGiven => ({
    ...given,
    policies: new Map([
      [hostId(1), { labels: {}, dedicatedTo: null, cordoned: false, draining: false, ...policy }],
    ]),
  });
  expect(planMoves(given, LIMITS)).not.toEqual([]);
  expect(planMoves(closed({ cordoned: true }), LIMITS)).toEqual([]);
  expect(planMoves(closed({ draining: true }), LIMITS)).toEqual([]);
  expect(planMoves(closed({ dedicatedTo: "org_2" as OrgId }), LIMITS)).toEqual([]);
  expect(planMoves(given, { ...LIMITS, leastGain: 1e6 })).toEqual([]);
});

test("binpack fills: nothing is spread by memory", () => {
  const one = pod(2, [{ service: 0, host: 0, memoryBytes: 32 * GIB }]);
  expect(planMoves({ ...one, weights: BINPACK_WEIGHTS }, LIMITS)).toEqual([]);
});

const anyPod = fc.record({
  hosts: fc.integer({ min: 2, max: 5 }),
  zones: fc.integer({ min: 1, max: 2 }),
  jobs: fc.array(
    fc.record({
      service: fc.integer({ min: 0, max: 3 }),
      host: fc.integer({ min: 0, max: 4 }),
      memoryBytes: fc.constantFrom(256 * MIB, GIB, 4 * GIB),
    }),
    { maxLength: 14 },
  ),
});

test("it comes to rest, with every service within one instance per host", () => {
  fc.assert(
    fc.property(anyPod, ({ hosts, zones, jobs }) => {
      const placed = jobs.map((job) => ({ ...job, host: job.host % hosts }));
      const { placed: after } = settle(hosts, placed, zones);
      for (let service = 0; service < 4; service++) {
        const of = (all: readonly Placed[]) =>
          perHost(
            all.filter((one) => one.service === service),
            hosts,
          );
        const spread = (counts: readonly number[]) => Math.max(...counts) - Math.min(...counts);
        if (zones === 1) expect(spread(of(after))).toBeLessThanOrEqual(1);
      }
    }),
    { numRuns: 150 },
  );
});

test("no planned move gains less than the threshold", () => {
  fc.assert(
    fc.property(anyPod, ({ hosts, jobs }) => {
      const placed = jobs.map((job) => ({ ...job, host: job.host % hosts }));
      for (const move of planMoves(pod(hosts, placed), LIMITS)) expect(move.gain).toBeGreaterThanOrEqual(0.1);
    }),
    { numRuns: 100 },
  );
});
