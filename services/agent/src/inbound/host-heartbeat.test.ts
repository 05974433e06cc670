import { HostHeartbeat } from "@berth/shared/contracts/host.ts";
import { HostState } from "@berth/shared/domain/placement.ts";
import { GIB } from "@berth/shared/domain/resources.ts";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { z } from "zod";
import { newRecord } from "../core/job-record.ts";
import { unitSpec } from "../testing/specs.ts";
import { HEARTBEAT_MS, Heartbeat, type HeartbeatGiven } from "./host-heartbeat.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const hostId = `hst_${"0".repeat(26)}`;
const state = HostState.parse({
  ...{ hostId, name: "h1", zone: "z", jobSlotsTotal: 9, jobSlotsFree: 9, startingCount: 0, imageDigests: [] },
  ...{ memoryTotalBytes: GIB, memoryFreeBytes: GIB, diskTotalBytes: GIB, diskFreeBytes: GIB },
  ...{ cpuTotalMillis: 2000, instancesByService: {}, cordoned: false, unavailable: [] },
});
const recovery = {
  ...{ atMs: 1, cause: "first-start", jobs: 0, adopted: 0, restarted: 0, removed: 0, problems: [] },
  readyAfterMs: null,
};

function startAgent() {
  const said: z.infer<typeof HostHeartbeat.payload>[] = [];
  const bus = {
    connected: true,
    signal: (_contract: unknown, payload: unknown) => void said.push(HostHeartbeat.payload.parse(payload)),
    serve: (_contract: unknown, _tokens: unknown, handler: () => Promise<unknown>) => ({
      close: () => undefined,
      ask: handler,
    }),
  };
  const records = [newRecord(unitSpec(), 1, "b")];
  const heartbeat = new Heartbeat({
    ...{ bus, hostId, bootId: "b", agentStartedAtMs: 1, agentVersion: "1", machine: "m" },
    jobs: { records: () => records, unknown: () => [] },
    meter: { state: () => state, engineVersion: "29" },
    alarms: { note: () => undefined },
    clock: { nowMs: () => Date.now(), monotonicMs: () => 5 },
    ...{ recovery: () => recovery, startsAtOnce: () => 2, routes: () => ({ e: 1 }) },
  } as unknown as HeartbeatGiven);
  return {
    heartbeat,
    bus,
    records,
    said,
    forms: () => said.map(({ form, revision }) => `${form} ${revision}`),
  };
}

test("beats say what changed, and all when one may be lost and when asked; else they repeat", async () => {
  const { heartbeat, bus, records, said, forms } = startAgent();
  const served = heartbeat.serveAskBid() as unknown as { ask(): Promise<unknown> };
  const running = heartbeat.start();
  const nextBeat = () => vi.advanceTimersByTimeAsync(HEARTBEAT_MS);
  await nextBeat();
  records.push(newRecord(unitSpec({ jobId: `job_${"0".repeat(25)}2` }), 2, "b"));
  await nextBeat();
  await nextBeat();
  expect(forms()).toEqual(["full 1", "same 1", "changed 2", "same 2"]);
  expect(said[0]).toMatchObject({ whole: true, routes: { e: 1 }, startsAtOnce: 2, unknown: [] });
  expect(said[2]).toMatchObject({
    since: 1,
    jobs: [{ jobId: records[1]?.spec.jobId }],
    gone: [],
    routes: { e: 1 },
    startsAtOnce: 2,
  });
  bus.connected = false;
  records.push(newRecord(unitSpec({ jobId: `job_${"0".repeat(25)}3` }), 3, "b"));
  await nextBeat();
  bus.connected = true;
  await nextBeat();
  await served.ask();
  await vi.advanceTimersByTimeAsync(1);
  expect(forms().slice(4)).toEqual(["changed 3", "full 4", "full 5"]);
  running.close();
  await nextBeat();
  expect(said).toHaveLength(7);
});
