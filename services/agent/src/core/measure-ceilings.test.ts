import type { HostState } from "@berth/shared/domain/placement.ts";
import { refuse, reserve } from "@berth/shared/domain/placement.ts";
import { GIB } from "@berth/shared/domain/resources.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { unitRecord, unitSpec } from "../testing/specs.ts";
import { hostState, lotOf } from "./capacity.ts";
import { decideAward } from "./decide-award.ts";
import {
  type CeilingReadings,
  ceilingAlarms,
  countAddresses,
  countPorts,
  measureCeilings,
} from "./measure-ceilings.ts";

const network = (name: string, portsCount: number, isShared = true, addressesCount = 253) => ({
  ...{ name, portsCount, addressesCount, isShared },
});
const READINGS: CeilingReadings = {
  atMs: 1000,
  networksCount: 3,
  networks: [network("berth0", 10), network("env-1", 40, false, 61)],
  keys: { keys: { limit: 200, used: 20 }, bytes: { limit: 20_000, used: 1400 } },
  inotify: { limit: 128, used: 8 },
  pids: { limit: 32_768, used: 900 },
};
const LIMITS = { networksCount: 50, bridgePortsCount: 1000 };
const named = (readings: CeilingReadings, pendingCount = 0) =>
  Object.fromEntries(measureCeilings(readings, LIMITS, pendingCount).map((one) => [one.name, one]));

describe("ceilings", () => {
  test("each is what is left of its limit, a part kept back", () => {
    const found = named(READINGS);
    expect(found.networks).toMatchObject({ total: 50, free: 47, perJob: 1 });
    expect(found.addresses).toMatchObject({ total: 253, free: 243, perJob: 1 });
    // The fullest bridge counts, whoever's it is.
    expect(found["bridge-ports"]).toMatchObject({ total: 1000, free: 960, perJob: 1 });
    expect(found["kernel-keys"]).toMatchObject({ total: 190, free: 170, perJob: 1 });
    expect(found["inotify-instances"]).toMatchObject({ total: 121, free: 113, perJob: 1 });
    expect(found.pids).toMatchObject({ total: 31_129, free: 30_229, perJob: 32 });
  });

  test("keys end by their bytes when those end first", () => {
    const keys = { keys: { limit: 1000, used: 10 }, bytes: { limit: 20_000, used: 19_300 } };
    expect(named({ ...READINGS, keys })["kernel-keys"]).toMatchObject({ total: 270, free: 0 });
  });

  test("an environment's own full subnet refuses nobody else", () => {
    const networks = [network("berth0", 1), network("env-1", 13, false, 13)];
    expect(named({ ...READINGS, networks }).addresses).toMatchObject({ free: 252 });
    expect(named({ ...READINGS, networks: [network("env-1", 13, false, 13)] }).addresses).toBeUndefined();
  });

  test("jobs without a container yet are counted", () => {
    const found = named(READINGS, 5);
    expect(found.addresses).toMatchObject({ free: 238 });
    expect(found.pids).toMatchObject({ free: 30_229 - 5 * 32 });
  });

  test("what cannot be read is no ceiling, but an alarm", () => {
    const readings = { ...READINGS, keys: null, inotify: null };
    const ceilings = measureCeilings(readings, LIMITS, 0);
    expect(ceilings.map(({ name }) => name)).toEqual(["networks", "addresses", "bridge-ports", "pids"]);
    expect(ceilingAlarms(readings, ceilings)).toEqual([
      { code: "ceiling-unread", detail: "could not be read: kernel-keys, inotify-instances" },
    ]);
  });

  test("a ceiling is near from 80 % on, and reached when no job fits", () => {
    const near = { ...READINGS, inotify: { limit: 100, used: 80 } };
    expect(ceilingAlarms(near, measureCeilings(near, LIMITS, 0))).toEqual([
      { code: "ceiling-near", detail: "inotify-instances: 15 of 95 left, a job takes 1" },
    ]);
    const reached = { ...READINGS, networks: [network("berth0", 253)] };
    expect(ceilingAlarms(reached, measureCeilings(reached, LIMITS, 0))).toEqual([
      { code: "ceiling-reached", detail: "addresses: 0 of 253 left, a job takes 1" },
    ]);
  });

  test("property: free is never negative, never more than total, and falls by every pending job", () => {
    const reading = fc.record({ limit: fc.nat(100_000), used: fc.nat(200_000) });
    const readings = fc.record({
      atMs: fc.nat(),
      networksCount: fc.nat(1000),
      networks: fc.array(
        fc.record({
          name: fc.string(),
          portsCount: fc.nat(2000),
          addressesCount: fc.nat(65_000),
          isShared: fc.boolean(),
        }),
      ),
      keys: fc.record({ keys: reading, bytes: reading }),
      inotify: reading,
      pids: reading,
    });
    fc.assert(
      fc.property(readings, fc.nat(500), (given, pendingCount) => {
        const before = measureCeilings(given, LIMITS, pendingCount);
        const after = measureCeilings(given, LIMITS, pendingCount + 1);
        for (const [at, one] of before.entries()) {
          expect(one.free).toBeGreaterThanOrEqual(0);
          expect(one.free).toBeLessThanOrEqual(one.total);
          expect(after[at]?.free).toBe(Math.max(0, one.free - one.perJob));
        }
      }),
    );
  });
});

describe("a host near a ceiling", () => {
  const host = {
    hostId: "hst_1" as never,
    name: "h1",
    zone: "z",
    jobSlots: 500,
    reservedMemoryBytes: 0,
    reservedDiskBytes: 0,
    diskAlarmPercent: 80,
    limits: { networksCount: 50, bridgePortsCount: 12 },
  };
  const measured = {
    engineReachable: true,
    memoryTotalBytes: 1000 * GIB,
    diskTotalBytes: 1000 * GIB,
    diskFreeBytes: 1000 * GIB,
    cpuTotalMillis: 1_000_000,
    imageDigests: [],
    imageStoreFull: false,
    runtimes: ["runc"],
    reclaimableBytes: 0,
    readings: { ...READINGS, networks: [network("berth0", 10)] },
  };
  const specs = [1, 2, 3, 4].map((digit) => unitSpec({ jobId: `job_${"0".repeat(25)}${digit}` }));

  test("takes what fits and declines the next with the limit's name; started jobs are not counted twice", () => {
    const pending = unitRecord({ state: "starting" });
    const seen = unitRecord({ state: "running", address: "10.1.1.2", startedAtMs: 500 });
    const late = unitRecord({ state: "running", address: "10.1.1.3", startedAtMs: 1500 });
    const free = (records: Parameters<typeof hostState>[2]): number | undefined =>
      hostState(host, measured, records).ceilings.find(({ name }) => name === "bridge-ports")?.free;
    expect([free([]), free([seen]), free([pending]), free([pending, late])]).toEqual([2, 2, 1, 0]);

    const award = { leaderEpoch: 1, leaseExpiresAtMs: 5000, jobs: specs };
    const memory = { leaderEpoch: 0, answered: new Map() };
    const { answers } = decideAward(award, memory, new Map(), hostState(host, measured, []), 0);
    expect(answers.map(({ refusal }) => refusal?.code ?? null)).toEqual([
      null,
      null,
      "ceiling-bridge-ports",
      "ceiling-bridge-ports",
    ]);
    expect(answers[2]?.refusal?.detail).toBe("bridge-ports: 0 of 12 left, a job takes 1");
  });

  test("property: a host never takes more jobs than its scarcest ceiling has room for", () => {
    fc.assert(
      fc.property(fc.nat(60), fc.nat(60), fc.nat(60), (ports, keysUsed, networksCount) => {
        const readings: CeilingReadings = {
          ...READINGS,
          networksCount,
          networks: [network("berth0", ports)],
          keys: { keys: { limit: 60, used: keysUsed }, bytes: { limit: 1e6, used: 0 } },
        };
        let state: HostState = hostState(host, { ...measured, readings }, []);
        const lot = lotOf(unitSpec());
        const room = Math.min(...state.ceilings.map(({ free, perJob }) => Math.floor(free / perJob)));
        let taken = 0;
        while (refuse(state, lot) === null) {
          state = reserve(state, lot);
          taken += 1;
        }
        expect(taken).toBe(room);
        expect(refuse(state, lot)?.code).toMatch(/^ceiling-/);
      }),
    );
  });
});

test("ports per bridge from the list of links; addresses of a subnet", () => {
  const links = `1: lo: <LOOPBACK,UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000
7: veth1@if6: <UP> mtu 1500 qdisc noqueue master berth0 state UP mode DEFAULT group default \\    link/ether 02:42
9: veth2@if8: <UP> mtu 1500 qdisc noqueue master berth0 state UP mode DEFAULT group default \\    link/ether 02:43
11: veth3@if8: <UP> mtu 1500 qdisc noqueue master b-env1 state UP mode DEFAULT group default \\    link/ether 02:44
`;
  expect([...countPorts(links)]).toEqual([
    ["berth0", 2],
    ["b-env1", 1],
  ]);
  expect(["10.1.2.0/24", "10.1.2.0/28", "10.0.0.0/32", ""].map(countAddresses)).toEqual([253, 13, 0, 0]);
});

test("a disk that fills is an alarm before it refuses; garbage counts as free up to a quarter of the disk", () => {
  const host = {
    hostId: "hst_1" as never,
    name: "h1",
    zone: "z",
    jobSlots: 5,
    reservedMemoryBytes: 0,
    reservedDiskBytes: GIB,
    diskAlarmPercent: 80,
    limits: LIMITS,
  };
  const measured = {
    engineReachable: true,
    memoryTotalBytes: GIB,
    diskTotalBytes: 100 * GIB,
    diskFreeBytes: 19.5 * GIB,
    cpuTotalMillis: 1000,
    imageDigests: [],
    imageStoreFull: false,
    runtimes: ["runc"],
    reclaimableBytes: 3 * GIB,
    readings: null,
  };
  const state = hostState(host, measured, []);
  expect(state.diskFreeBytes).toBe(21.5 * GIB);
  expect(state.alarms).toEqual([
    {
      code: "disk-filling",
      detail: "80 % of 100 GiB used, 19.5 GiB free, unneeded images hold 3 GiB",
    },
  ]);
  expect(hostState(host, { ...measured, diskFreeBytes: 21 * GIB }, []).alarms).toEqual([]);
  expect(hostState(host, { ...measured, reclaimableBytes: 90 * GIB }, []).diskFreeBytes).toBe(43.5 * GIB);
});
