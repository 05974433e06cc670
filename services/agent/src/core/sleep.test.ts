import { HostId } from "@berth/shared/domain/ids.ts";
import { canStep } from "@berth/shared/domain/job-state.ts";
import type { HostState } from "@berth/shared/domain/placement.ts";
import { GIB } from "@berth/shared/domain/resources.ts";
import fc from "fast-check";
import { expect, test } from "vitest";
import { unitRecord, unitSpec } from "../testing/specs.ts";
import { decideStops } from "./decide-stops.ts";
import { refuseWake } from "./decide-wake.ts";
import * as job from "./job-record.ts";
import { holdsResources, type JobRecord } from "./job-record.ts";
import { type ContainerFacts, type JobFacts, nextStep } from "./next-step.ts";
import { awoke, displaced, fellAsleep, froze, ordered, ordersOf, wakened } from "./sleep-record.ts";

const facts = (containers: readonly ContainerFacts[], patch: Partial<JobFacts> = {}): JobFacts => ({
  nowMs: 100_000,
  bootId: "boot-1",
  containers,
  imagePresent: true,
  secretsWritten: true,
  lease: "held",
  ...patch,
});
const container = (state: ContainerFacts["state"]): ContainerFacts => ({
  id: "c1",
  epoch: 1,
  attempt: 1,
  state,
});
const ready = (patch: Partial<JobRecord> = {}) =>
  unitRecord({
    ...{ state: "running", ready: true, everReady: true, attempt: 1, address: "10.0.0.2" },
    ...{ startedAtMs: 5000, firstStartedAtMs: 5000 },
    ...patch,
  });
const stopped = { epoch: 4, level: "stopped" } as const;
const frozen = { epoch: 4, level: "frozen" } as const;
const away = { epoch: 4, level: "away" } as const;
const asleep = (patch: Partial<JobRecord> = {}) => ({
  ...fellAsleep(ready({ sleep: stopped }), false),
  ...patch,
});

test.each<[string, JobRecord, JobFacts, object]>([
  [
    "told to sleep",
    ready({ sleep: stopped }),
    facts([container("running")]),
    { kind: "put-to-sleep", containerId: "c1" },
  ],
  [
    "told to freeze",
    ready({ sleep: frozen }),
    facts([container("running")]),
    { kind: "freeze", containerId: "c1" },
  ],
  ["frozen", froze(ready({ sleep: frozen })), facts([container("paused")]), { kind: "wait-asleep" }],
  [
    "frozen, the engine let it go on",
    froze(ready({ sleep: frozen })),
    facts([container("running")]),
    { kind: "freeze", containerId: "c1" },
  ],
  [
    "frozen, and now to be stopped",
    froze(ready({ sleep: stopped })),
    facts([container("paused")]),
    { kind: "put-to-sleep", containerId: "c1" },
  ],
  [
    "its container is stopped",
    ready({ sleep: stopped }),
    facts([container("exited")]),
    { kind: "note-asleep" },
  ],
  ["it never ran", unitRecord({ sleep: stopped }), facts([]), { kind: "note-asleep" }],
  ["asleep", asleep(), facts([container("exited")]), { kind: "wipe-secrets" }],
  [
    "asleep, nothing left to do",
    asleep(),
    facts([container("exited")], { secretsWritten: false }),
    { kind: "wait-asleep" },
  ],
  [
    "asleep after a reboot",
    asleep(),
    facts([container("exited")], { bootId: "boot-2", secretsWritten: false }),
    { kind: "wait-asleep" },
  ],
  [
    "asleep, and now to be removed",
    asleep({ sleep: away }),
    facts([container("exited")]),
    { kind: "note-asleep" },
  ],
  ["woken", asleep({ sleep: null }), facts([container("exited")]), { kind: "wake" }],
  ["woken from the frost", froze(ready()), facts([container("paused")]), { kind: "thaw", containerId: "c1" }],
  [
    "frozen, then the machine rebooted",
    froze(ready({ sleep: frozen })),
    facts([container("exited")], { bootId: "boot-2" }),
    { kind: "note-asleep" },
  ],
  [
    "admitted, without secrets",
    awoke(asleep({ sleep: null }), "boot-1", 1),
    facts([container("exited")], { secretsWritten: false }),
    { kind: "write-secrets" },
  ],
  [
    "admitted",
    awoke(asleep({ sleep: null }), "boot-1", 1),
    facts([container("exited")]),
    { kind: "start", containerId: "c1", attempt: 1 },
  ],
  [
    "admitted, its container is gone",
    awoke(fellAsleep(ready(), true), "boot-1", 1),
    facts([]),
    { kind: "create", attempt: 2 },
  ],
  [
    "admitted, its old container is being removed",
    awoke(fellAsleep(ready(), true), "boot-1", 1),
    facts([container("exited")]),
    { kind: "create", attempt: 2 },
  ],
  [
    "asleep and to be stopped",
    asleep({ stopWanted: true }),
    facts([container("exited")]),
    { kind: "remove", containerIds: ["c1"] },
  ],
])("%s", (_what, record, seen, step) => {
  expect(nextStep(record, seen)).toEqual(step);
});

test("started again, its exit is an exit", () => {
  const started = job.started(awoke(asleep({ sleep: null }), "boot-1", 1), 1, "10.0.0.3", 2);
  expect(nextStep(started, facts([container("exited")]))).toEqual({
    kind: "note-exit",
    containerId: "c1",
    attempt: 1,
  });
});

test("every step of a sleep is a legal one of the job", () => {
  const chain = [
    ready({ sleep: stopped }),
    fellAsleep(ready(), false),
    awoke(asleep(), "b", 1),
    ready(),
    froze(ready()),
    awoke(froze(ready()), "b", 1),
  ];
  for (const [i, record] of chain.slice(1).entries())
    expect(canStep((chain[i] as JobRecord).state, record.state), `${chain[i]?.state} → ${record.state}`).toBe(
      true,
    );
  expect(canStep("asleep", displaced(asleep(), "full").state)).toBe(true);
});

test("a sleep that ended here never begins again; a later one does", () => {
  const woken = wakened(ordered(ready(), stopped), 4);
  expect(woken).toMatchObject({ sleep: null, wokenEpoch: 4 });
  expect(ordered(woken, stopped)).toBe(woken);
  expect(ordered(woken, { epoch: 5, level: "away" }).sleep).toEqual({ epoch: 5, level: "away" });
  expect(ordered(ordered(ready(), stopped), null)).toMatchObject({ sleep: null, wokenEpoch: 4 });
  // Woken before its order came: by a request that was quicker than the desired set.
  expect(ordered(wakened(ready(), 4), stopped).sleep).toBeNull();
});

test("in whatever order words come, the newest epoch decides", () => {
  const word = fc.record({ epoch: fc.integer({ min: 1, max: 4 }), wakes: fc.boolean() });
  fc.assert(
    fc.property(fc.array(word, { maxLength: 8 }), (words) => {
      let record = ready();
      for (const { epoch, wakes } of words)
        record = wakes ? wakened(record, epoch) : ordered(record, { epoch, level: "stopped" });
      const woken = Math.max(0, ...words.filter(({ wakes }) => wakes).map(({ epoch }) => epoch));
      if (record.sleep !== null) expect(record.sleep.epoch).toBeGreaterThan(woken);
      expect(record.wokenEpoch).toBe(woken);
    }),
  );
});

test("only a whole desired set lets a job sleep, and only at its own epoch", () => {
  const record = ready();
  const { jobId } = record.spec;
  const set = {
    leaderEpoch: 1,
    revision: 1,
    whole: true,
    jobs: [{ jobId, epoch: 1, action: "run" as const, sleep: stopped }],
  };
  expect(ordersOf(set, [record])).toEqual([{ jobId, order: stopped, wokenEpoch: 0 }]);
  expect(ordersOf({ ...set, jobs: [{ jobId, epoch: 2, action: "run" }] }, [record])).toEqual([]);
  expect(ordersOf({ ...set, jobs: [] }, [record])).toEqual([]);
  expect(decideStops({ ...set, whole: false }, null, [record], 0).kind).toBe("ignored");
});

test("what sleeps gives its memory back and needs it again to wake; what is frozen keeps it", () => {
  expect([asleep(), froze(ready()), awoke(asleep(), "b", 1)].map(holdsResources)).toEqual([
    false,
    true,
    true,
  ]);
  const free = { memoryFreeBytes: GIB, diskFreeBytes: 10 * GIB, cpuFreeMillis: 4000, jobSlotsFree: 5 };
  const host = {
    ...{ hostId: HostId.parse(`hst_${"0".repeat(26)}`), name: "h1", zone: "z", ...free },
    ...{
      memoryTotalBytes: GIB,
      diskTotalBytes: 10 * GIB,
      cpuTotalMillis: 4000,
      ceilings: [],
      runtimes: ["runc"],
    },
    ...{ volumes: [], jobSlotsTotal: 5, startingCount: 0, instancesByService: {}, imageDigests: [] },
    ...{ cordoned: false, unavailable: [], alarms: [] },
  } as unknown as HostState;
  const apart = unitSpec({ constraints: { ...unitSpec().constraints, apart: true } });
  const crowded = { ...host, instancesByService: { [apart.serviceId]: 1 } };
  expect(refuseWake(fellAsleep(unitRecord({}, apart), false), crowded)).toBeNull();
  expect(refuseWake(asleep(), { ...host, memoryFreeBytes: 1 })?.code).toBe("not-enough-memory");
  expect(refuseWake(froze(ready()), { ...host, memoryFreeBytes: 1 })).toBeNull();
});
