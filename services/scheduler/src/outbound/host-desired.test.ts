import type { HostId } from "@berth/shared/domain/ids.ts";
import { DEFAULT_PARTITION_POLICY, SINGLE_WRITER_POLICY } from "@berth/shared/domain/service-policy.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DesiredSets } from "./host-desired.ts";
import type { Snapshot } from "./snapshot.ts";

const hostId = "hst_a" as HostId;
beforeEach(() => void vi.useFakeTimers({ now: 1_000_000 }));
afterEach(() => void vi.useRealTimers());

function snapshotOf(jobsCount: number, partition: object = DEFAULT_PARTITION_POLICY): Snapshot {
  const view = {
    hostId,
    state: "asleep",
    desired: "run",
    sleep: { epoch: 1, level: "stopped" },
    wokenEpoch: 0,
  };
  const jobs = Array.from({ length: jobsCount }, (_, n) => ({
    ...{ serviceId: `svc_${n}`, epoch: 1, view: { ...view, id: `job_${n}`, partition } },
  }));
  return {
    services: [],
    jobs,
    hosts: [{ id: hostId }],
    reported: new Map(),
    readAtMs: 0,
  } as unknown as Snapshot;
}

/** Rounds of a second each. @returns the seconds in which the host was told */
async function told(seconds: number, at: (second: number) => Snapshot): Promise<number[]> {
  const signal = vi.fn();
  const sets = new DesiredSets({ bus: { signal } as never, log: silentLog });
  const when: number[] = [];
  for (let second = 0; second < seconds; second++) {
    const before = signal.mock.calls.length;
    await sets.send(at(second), 1, new Map(), null);
    if (signal.mock.calls.length > before) when.push(second);
    vi.setSystemTime(Date.now() + 1000);
  }
  return when;
}

test("few jobs are told again every 4 s, many the less often once they were told a few times", async () => {
  const few = snapshotOf(3);
  expect(await told(17, () => few)).toEqual([0, 4, 8, 12, 16]);
  const many = snapshotOf(300);
  expect(await told(45, () => many)).toEqual([0, 4, 8, 26, 44]);
});

test("a job that runs by a lease is told every 4 s, among however many", async () => {
  const leased = snapshotOf(300, SINGLE_WRITER_POLICY);
  expect(await told(17, () => leased)).toEqual([0, 4, 8, 12, 16]);
});

test("a change is told at once, and a few times soon after", async () => {
  const [before, after] = [snapshotOf(300), snapshotOf(301)];
  expect(await told(24, (second) => (second < 15 ? before : after))).toEqual([0, 4, 8, 15, 19, 23]);
});
