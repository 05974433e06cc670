import type { HostId } from "@berth/shared/domain/ids.ts";
import { systemClock } from "@berth/shared/kit/clock.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { expect, test } from "vitest";
import { type JobRecord, newRecord } from "../core/job-record.ts";
import type { Engine } from "../outbound/docker.ts";
import { unitSpec } from "../testing/specs.ts";
import { HostMeter } from "./host-meter.ts";

function meterOf(engine: Partial<Engine>, nowMs: () => number): HostMeter {
  return new HostMeter({
    engine: engine as Engine,
    identity: {
      ...{ hostId: "hst_1" as HostId, name: "h1", zone: "z", jobSlots: 10, reservedMemoryBytes: 0 },
      ...{ reservedDiskBytes: 0, diskAlarmPercent: 80, limits: { networksCount: 10, bridgePortsCount: 10 } },
    },
    ...{ memoryBytes: null, cgroupParent: null, log: silentLog },
    clock: { ...systemClock, monotonicMs: nowMs, nowMs },
  });
}

const noRuntimes = { containerRootUid: 0, runtimes: [] };

test("the engine is asked for itself once a minute, and again after it did not answer", async () => {
  let nowMs = 0;
  let asked = 0;
  let isAway = false;
  const info = {
    version: "26.1",
    memoryBytes: 1,
    cpuCount: 2,
    rootDir: "/",
    containerRootUid: 0,
    runtimes: [],
  };
  const meter = meterOf(
    {
      info: async () => {
        asked += 1;
        return info;
      },
      imageDigests: async () => {
        if (isAway) throw new Error("away");
        return [];
      },
      networks: async () => [],
    },
    () => nowMs,
  );
  await meter.measure();
  nowMs = 59_000;
  await meter.measure();
  expect(asked).toBe(1);
  nowMs = 61_000;
  await meter.measure();
  expect(asked).toBe(2);
  isAway = true;
  await expect(meter.measure()).rejects.toThrow("away");
  isAway = false;
  await meter.measure();
  expect(asked).toBe(3);
});

test("networks are read again when a job came or went, and now and then; jobs since then are counted as if they were there", async () => {
  let nowMs = 0;
  let asked = 0;
  const info = {
    ...{ version: "26.1", memoryBytes: 1, cpuCount: 2, rootDir: "/" },
    containerRootUid: 0,
    runtimes: [],
  };
  const networks = async () => {
    asked += 1;
    return [];
  };
  const meter = meterOf({ info: async () => info, imageDigests: async () => [], networks }, () => nowMs);
  const left = (records: readonly JobRecord[]) =>
    meter.state(records).ceilings.find(({ name }) => name === "networks")?.free;
  const measureAt = async (atMs: number) => {
    nowMs = atMs;
    await meter.measure();
    return asked;
  };
  expect(await measureAt(0)).toBe(1);
  expect(left([])).toBe(10);
  expect(await measureAt(29_000)).toBe(1);
  expect(await measureAt(31_000)).toBe(2);
  const job = { ...newRecord(unitSpec(), 31_500, "boot"), address: "10.1.1.2", startedAtMs: 32_000 };
  // Before the host told of it, a measurement does not know of it; the bid does.
  expect(await measureAt(33_000)).toBe(2);
  expect(left([job])).toBe(9);
  expect(await measureAt(34_000)).toBe(3);
  expect(left([job])).toBe(10);
  expect(await measureAt(35_000)).toBe(3);
  left([]);
  expect(await measureAt(36_000)).toBe(4);
});

test("images are listed less often while all that is here sleeps", async () => {
  let nowMs = 0;
  let asked = 0;
  const meter = meterOf(
    {
      info: async () => ({
        ...{ version: "26.1", memoryBytes: 1, cpuCount: 2 },
        rootDir: "/",
        ...noRuntimes,
      }),
      imageDigests: async () => [`sha256:${++asked}`],
      networks: async () => [],
    },
    () => nowMs,
  );
  const askedAt = async (atMs: number) => {
    nowMs = atMs;
    await meter.measure();
    return asked;
  };
  expect(await askedAt(0)).toBe(1);
  expect(await askedAt(5000)).toBe(2);
  const job = newRecord(unitSpec(), 1, "boot");
  meter.state([{ ...job, state: "asleep", sleep: { epoch: 1, level: "stopped" } as JobRecord["sleep"] }]);
  expect(await askedAt(10_000)).toBe(2);
  expect(await askedAt(24_000)).toBe(2);
  expect(await askedAt(26_000)).toBe(3);
  expect(meter.state([job]).imageDigests).toEqual(["sha256:3"]);
  expect(await askedAt(31_000)).toBe(4);
});
