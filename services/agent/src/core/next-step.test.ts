import { canStep, isFinal, JobState } from "@berth/shared/domain/job-state.ts";
import fc from "fast-check";
import { expect, test } from "vitest";
import { unitRecord, unitSpec } from "../testing/specs.ts";
import type { JobRecord } from "./job-record.ts";
import * as job from "./job-record.ts";
import { type ContainerFacts, type JobFacts, nextStep } from "./next-step.ts";

const NOW = 100_000;
const facts = (patch: Partial<JobFacts> = {}): JobFacts => ({
  nowMs: NOW,
  bootId: "boot-1",
  containers: [],
  imagePresent: true,
  secretsWritten: true,
  lease: "held",
  ...patch,
});
const container = (patch: Partial<ContainerFacts> = {}): ContainerFacts => ({
  id: "c1",
  epoch: 1,
  attempt: 1,
  state: "running",
  ...patch,
});
const ready = (patch: Partial<JobRecord> = {}) =>
  unitRecord({
    state: "running",
    ready: true,
    everReady: true,
    attempt: 1,
    address: "10.0.0.2",
    startedAtMs: 5000,
    firstStartedAtMs: 5000,
    ...patch,
  });

test.each<[string, JobRecord, JobFacts, object]>([
  ["no envelope yet", unitRecord({ envelope: null, state: "accepted" }), facts(), { kind: "wait-envelope" }],
  ["image missing", unitRecord(), facts({ imagePresent: false }), { kind: "pull" }],
  ["secrets missing", unitRecord(), facts({ secretsWritten: false }), { kind: "write-secrets" }],
  ["all there", unitRecord(), facts(), { kind: "create", attempt: 1 }],
  ["all there but the lease", unitRecord(), facts({ lease: "unsure" }), { kind: "wait-lease" }],
  [
    "created, the lease ended",
    unitRecord({ attempt: 1 }),
    facts({ containers: [container({ state: "created" })], lease: "ended" }),
    { kind: "wait-lease" },
  ],
  [
    "running, the lease ended",
    ready(),
    facts({ containers: [container()], lease: "ended" }),
    { kind: "stop-for-lease", containerId: "c1", attempt: 1 },
  ],
  [
    "running, the lease unsure",
    ready(),
    facts({ containers: [container()], lease: "unsure" }),
    { kind: "watch", containerId: "c1" },
  ],
  ["backing off", unitRecord({ notBeforeMs: NOW + 5 }), facts(), { kind: "wait-until", atMs: NOW + 5 }],
  [
    "created",
    unitRecord({ attempt: 1 }),
    facts({ containers: [container({ state: "created" })] }),
    { kind: "start", containerId: "c1", attempt: 1 },
  ],
  [
    "running, not ready",
    unitRecord({ attempt: 1, firstStartedAtMs: 90_000 }),
    facts({ containers: [container()] }),
    { kind: "watch-ready", containerId: "c1", attempt: 1, deadlineAtMs: 150_000 },
  ],
  ["running, ready", ready(), facts({ containers: [container()] }), { kind: "watch", containerId: "c1" }],
  [
    "adopted after the agent died before its note",
    unitRecord({ attempt: 0 }),
    facts({ containers: [container({ attempt: 4 })] }),
    { kind: "watch-ready", containerId: "c1", attempt: 4, deadlineAtMs: NOW + 60_000 },
  ],
  [
    "exited",
    ready(),
    facts({ containers: [container({ state: "exited" })] }),
    { kind: "note-exit", containerId: "c1", attempt: 1 },
  ],
  [
    "exited in an earlier boot",
    ready(),
    facts({ bootId: "boot-2", containers: [container({ state: "exited" })] }),
    { kind: "note-reboot", attempt: 1 },
  ],
  ["vanished", ready(), facts(), { kind: "note-gone", attempt: 1 }],
  ["vanished with the boot", ready(), facts({ bootId: "boot-2" }), { kind: "note-reboot", attempt: 1 }],
  [
    "a leftover of an ended attempt is not started again",
    unitRecord({ attempt: 2, endedAttempt: 2 }),
    facts({ containers: [container({ attempt: 2, state: "exited" })] }),
    { kind: "create", attempt: 3 },
  ],
  [
    "a leftover that was only created may run by now: it goes before the next is made",
    unitRecord({ attempt: 2, endedAttempt: 2 }),
    facts({ containers: [container({ attempt: 2, state: "created" })] }),
    { kind: "remove", containerIds: ["c1"] },
  ],
  [
    "an older epoch still runs",
    unitRecord({}, unitSpec({ epoch: 2 })),
    facts({ containers: [container({ id: "old" })] }),
    { kind: "stop", containerId: "old" },
  ],
  [
    "stop wanted",
    ready({ stopWanted: true }),
    facts({ containers: [container()] }),
    { kind: "stop", containerId: "c1" },
  ],
  [
    "stopped",
    ready({ stopWanted: true }),
    facts({ containers: [container({ state: "exited" })] }),
    { kind: "remove", containerIds: ["c1"] },
  ],
  ["removed", ready({ stopWanted: true }), facts(), { kind: "wipe-secrets" }],
  ["wiped", ready({ stopWanted: true }), facts({ secretsWritten: false }), { kind: "finish" }],
  [
    "failed, container left",
    ready({ state: "failed" }),
    facts({ secretsWritten: false, containers: [container({ state: "exited" })] }),
    { kind: "remove", containerIds: ["c1"] },
  ],
  [
    "finished, not told",
    ready({ state: "finished", stopWanted: true, sequence: 5, acknowledged: 4 }),
    facts({ secretsWritten: false }),
    { kind: "wait-acknowledged" },
  ],
  [
    "finished and told",
    ready({ state: "finished", stopWanted: true, sequence: 5, acknowledged: 5 }),
    facts({ secretsWritten: false }),
    { kind: "forget" },
  ],
  [
    "failed and told, still wanted",
    ready({ state: "failed", sequence: 5, acknowledged: 5 }),
    facts({ secretsWritten: false }),
    { kind: "wait-desired" },
  ],
])("%s", (_name, record, seen, step) => {
  expect(nextStep(record, seen)).toEqual(step);
});

const anyContainer = fc.record({
  id: fc.constantFrom("a", "b", "c"),
  epoch: fc.integer({ min: 1, max: 3 }),
  attempt: fc.integer({ min: 1, max: 4 }),
  state: fc.constantFrom("created" as const, "running" as const, "exited" as const, "removing" as const),
});
const anyFacts = fc.record({
  nowMs: fc.constant(NOW),
  bootId: fc.constantFrom("boot-1", "boot-2"),
  containers: fc.uniqueArray(anyContainer, { selector: ({ id }) => id, maxLength: 3 }),
  imagePresent: fc.boolean(),
  lease: fc.constantFrom("held", "unsure", "ended"),
  secretsWritten: fc.boolean(),
});
const anyRecord = fc
  .record({
    state: fc.constantFrom(...JobState.options),
    ready: fc.boolean(),
    stopWanted: fc.boolean(),
    attempt: fc.integer({ min: 0, max: 4 }),
    endedAttempt: fc.integer({ min: 0, max: 4 }),
    address: fc.constantFrom(null, "10.0.0.2"),
  })
  .map((patch) => unitRecord(patch, unitSpec({ epoch: 2 })));

test("a running container of the job's own epoch is never stopped without an order", () => {
  fc.assert(
    fc.property(anyRecord, anyFacts, (record, seen) => {
      const step = nextStep(record, seen);
      if (step.kind !== "stop" || record.stopWanted || isFinal(record.state)) return;
      const target = seen.containers.find(({ id }) => id === step.containerId);
      const own = seen.containers.filter(
        ({ epoch, attempt, state }) => epoch === 2 && attempt > record.endedAttempt && state === "running",
      );
      expect(target === undefined || !own.includes(target) || own.length > 1).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

test("nothing is created or started while another container of the job runs", () => {
  fc.assert(
    fc.property(anyRecord, anyFacts, (record, seen) => {
      const { kind } = nextStep(record, seen);
      if (kind === "create" || kind === "start") expect(seen.lease).toBe("held");
      if (kind === "create" || kind === "start")
        expect(seen.containers.some(({ state }) => state === "running")).toBe(false);
    }),
    { numRuns: 2000 },
  );
});

test("a crash before the first readiness backs off twice, then the job has failed", () => {
  const exit = { exitCode: 1, outOfMemory: false, missedDeadline: false, lastLines: ["x"] };
  let record = unitRecord({ attempt: 1 });
  const waits: number[] = [];
  for (let attempt = 1; attempt <= 3; attempt++) {
    record = job.exited(record, attempt, exit, NOW);
    waits.push(record.notBeforeMs - NOW);
  }
  expect(record).toMatchObject({ state: "failed", reasonCode: "crashed", exitCode: 1, restartsCount: 2 });
  expect(waits).toEqual([100, 500, 500]);
});

test("after readiness a crash restarts for ever, at most every minute; ten well minutes reset it", () => {
  const exit = { exitCode: 1, outOfMemory: true, missedDeadline: false, lastLines: [] };
  let record = ready();
  for (let attempt = 1; attempt <= 50; attempt++) record = job.exited(record, attempt, exit, 6000);
  expect(record).toMatchObject({
    state: "starting",
    ready: false,
    reasonCode: "out-of-memory",
    notBeforeMs: 66_000,
    restartsCount: 50,
  });
  const well = job.becameReady(job.started(record, 51, "10.0.0.3", 70_000), 70_100);
  expect(well).toMatchObject({ ready: true, reasonCode: null });
  expect(job.exited(well, 51, exit, 70_000 + 600_000).crashesInRow).toBe(1);
});

test("every change is a legal step of the job's state, with a higher sequence", () => {
  const exit = { exitCode: 1, outOfMemory: false, missedDeadline: false, lastLines: [] };
  const changes: ((record: JobRecord) => JobRecord)[] = [
    (r) => job.envelopeTaken(r, { senderKey: "X", sealed: "s" }, NOW),
    (r) => job.attemptMade(r, r.attempt + 1, "boot-1"),
    (r) => job.started(r, r.attempt, "10.0.0.2", NOW),
    (r) => job.becameReady(r, NOW),
    (r) => job.exited(r, r.attempt, exit, NOW),
    (r) => job.stepFailed(r, "start-failed", "engine", NOW),
    (r) => job.stopping(r),
  ];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...changes), { maxLength: 20 }), (list) => {
      let record = unitRecord({ state: "accepted" });
      for (const apply of list) {
        if (isFinal(record.state) || record.state === "stopping") break;
        const next = apply(record);
        expect(canStep(record.state, next.state) || next.state === "preparing").toBe(true);
        expect(next.sequence).toBeGreaterThan(record.sequence);
        record = next;
      }
    }),
  );
});

test("a task runs once: every exit is its end, by its exit code", () => {
  const spec = unitSpec({ task: { deadlineMs: 5000 }, process: "release" });
  const running = job.started(unitRecord({ attempt: 1 }, spec), 1, "10.0.0.2", NOW);
  expect(running).toMatchObject({ state: "running", ready: false });
  const exit = { exitCode: 0, outOfMemory: false, missedDeadline: false, lastLines: ["done"] };
  const end = (given: Partial<typeof exit>) => job.exited(running, 1, { ...exit, ...given }, NOW);
  expect(end({})).toMatchObject({ state: "finished", exitCode: 0, reasonCode: null, lastLines: ["done"] });
  expect(end({ exitCode: 3 })).toMatchObject({ state: "failed", reasonCode: "task-failed", exitCode: 3 });
  expect(end({ missedDeadline: true })).toMatchObject({ state: "failed", reasonCode: "deadline-passed" });
  expect(end({ outOfMemory: true })).toMatchObject({ state: "failed", reasonCode: "out-of-memory" });
  expect(job.rebooted(running, 1, "boot-2")).toMatchObject({
    state: "failed",
    reasonCode: "task-interrupted",
  });
});
