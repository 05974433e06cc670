import type { HostId } from "@berth/shared/domain/ids.ts";
import { systemClock } from "@berth/shared/kit/clock.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { expect, test } from "vitest";
import type { Engine } from "../outbound/docker.ts";
import { HostMeter } from "./host-meter.ts";

function meterOf(engine: Partial<Engine>, nowMs: () => number): HostMeter {
  return new HostMeter({
    engine: engine as Engine,
    identity: {
      ...{ hostId: "hst_1" as HostId, name: "h1", zone: "z", jobSlots: 10, reservedMemoryBytes: 0 },
      ...{ reservedDiskBytes: 0, diskAlarmPercent: 80, limits: { networksCount: 10, bridgePortsCount: 10 } },
    },
    ...{ memoryBytes: null, cgroupParent: null, log: silentLog },
    clock: { ...systemClock, monotonicMs: nowMs },
  });
}

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
