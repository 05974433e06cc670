import { MOST_JOBS_TOLD } from "@berth/shared/contracts/host.ts";
import type { JobSpec } from "@berth/shared/contracts/job.ts";
import { HostId } from "@berth/shared/domain/ids.ts";
import { GIB, MIB } from "@berth/shared/domain/resources.ts";
import { expect, test } from "vitest";
import { unitRecord, unitSpec } from "../testing/specs.ts";
import { type HostIdentity, hostState, type Measured } from "./capacity.ts";
import { type AwardMemory, decideAward, rememberAnswers } from "./decide-award.ts";
import { decideStops, newestSeen } from "./decide-stops.ts";
import type { JobRecord } from "./job-record.ts";
import { heartbeatJobs } from "./render-heartbeat.ts";

const host: HostIdentity = {
  hostId: HostId.parse(`hst_${"0".repeat(26)}`),
  name: "h1",
  zone: "z",
  jobSlots: 3,
  reservedMemoryBytes: 0,
  reservedDiskBytes: GIB,
  diskAlarmPercent: 80,
  limits: { networksCount: 500, bridgePortsCount: 1000 },
};
const measured: Measured = {
  engineReachable: true,
  memoryTotalBytes: GIB,
  diskTotalBytes: 20 * GIB,
  diskFreeBytes: 10 * GIB,
  cpuTotalMillis: 2000,
  imageDigests: [],
  imageStoreFull: false,
  runtimes: ["runc"],
  reclaimableBytes: 0,
  readings: null,
};
const specOf = (digit: number, patch: object = {}) =>
  unitSpec({
    jobId: `job_${"0".repeat(25)}${digit}`,
    resources: { memoryBytes: 400 * MIB, cpuMillis: 100, diskBytes: GIB, pidsCount: 64 },
    ...patch,
  });
const held = (...records: JobRecord[]) =>
  new Map(records.map((record) => [record.spec.jobId as string, record]));

const memory = (leaderEpoch: number) => ({ leaderEpoch, answered: new Map<string, number>() });

test("what jobs may use is taken from the bid; failed jobs use nothing", () => {
  const records = [
    unitRecord({ state: "running", ready: true }, specOf(1)),
    unitRecord({}, specOf(2)),
    unitRecord({ state: "failed" }, specOf(3)),
  ];
  const state = hostState(host, measured, records);
  expect(state).toMatchObject({
    memoryFreeBytes: GIB - 800 * MIB,
    diskFreeBytes: 7 * GIB,
    jobSlotsFree: 1,
    startingCount: 1,
    unavailable: [],
  });
  expect(state.instancesByService[specOf(1).serviceId]).toBe(2);
});

test("a host whose engine does not answer, or whose disk is full, says so", () => {
  expect(hostState(host, { ...measured, engineReachable: false }, []).unavailable).toEqual([
    "engine-unreachable",
  ]);
  expect(hostState(host, { ...measured, imageStoreFull: true }, []).unavailable).toEqual([
    "image-store-full",
  ]);
});

test("one award of three jobs takes what fits and declines the rest with the reason", () => {
  const { answers, state } = decideAward(
    { leaderEpoch: 1, leaseExpiresAtMs: 500, jobs: [specOf(1), specOf(2), specOf(3)] },
    memory(0),
    held(),
    hostState(host, measured, []),
    100,
  );
  expect(answers.map(({ refusal }) => refusal?.code ?? null)).toEqual([null, null, "not-enough-memory"]);
  expect(state.memoryFreeBytes).toBe(GIB - 800 * MIB);
});

test("a repeated award is accepted again and costs nothing; a stale leader and a lower epoch are declined", () => {
  const state = hostState({ ...host, jobSlots: 0 }, measured, []);
  const known = held(unitRecord({}, specOf(1, { epoch: 2 })));
  expect(
    decideAward(
      { leaderEpoch: 1, leaseExpiresAtMs: 500, jobs: [specOf(1, { epoch: 2 })] },
      memory(1),
      known,
      state,
      100,
    ).answers,
  ).toMatchObject([{ refusal: null, isNew: false }]);
  expect(
    decideAward({ leaderEpoch: 1, leaseExpiresAtMs: 500, jobs: [specOf(1)] }, memory(1), known, state, 100)
      .answers[0]?.refusal?.detail,
  ).toContain("epoch 1 is behind 2");
  expect(
    decideAward({ leaderEpoch: 1, leaseExpiresAtMs: 500, jobs: [specOf(2)] }, memory(5), held(), state, 100)
      .answers[0]?.refusal?.detail,
  ).toContain("leader epoch 1 is behind 5");
});

test("a higher epoch of a held job takes over its place on a full host", () => {
  const known = held(unitRecord({}, specOf(1)));
  const full = hostState({ ...host, jobSlots: 1 }, { ...measured, memoryTotalBytes: 400 * MIB }, [
    ...known.values(),
  ]);
  expect(
    decideAward(
      { leaderEpoch: 1, leaseExpiresAtMs: 500, jobs: [specOf(1, { epoch: 2 })] },
      memory(1),
      known,
      full,
      100,
    ).answers,
  ).toMatchObject([{ refusal: null, isNew: true }]);
});

test("an environment's part of the host's addresses ends: what is in the ledger counts, sleeping or not, and what has ended does not", () => {
  const known = held(unitRecord({ state: "asleep" }, specOf(1)), unitRecord({ state: "failed" }, specOf(2)));
  const award = (...jobs: JobSpec[]) => ({ leaderEpoch: 1, leaseExpiresAtMs: 500, jobs });
  const codes = (jobs: JobSpec[], total: number | null) =>
    decideAward(
      award(...jobs),
      memory(1),
      known,
      hostState(host, measured, []),
      100,
      () => total,
    ).answers.map(({ refusal }) => refusal?.code ?? null);
  expect(codes([specOf(3), specOf(4)], null)).toEqual([null, null]);
  expect(codes([specOf(3), specOf(4)], 2)).toEqual([null, "ceiling-addresses"]);
  // Another epoch of what is here takes no more than it has.
  expect(codes([specOf(1, { epoch: 2 }), specOf(3)], 1)).toEqual([null, "ceiling-addresses"]);
});

test("an award that comes after its lease, or again after its answer, is declined", () => {
  const award = { leaderEpoch: 1, leaseExpiresAtMs: 500, jobs: [specOf(1)] };
  const state = hostState(host, measured, []);
  const detail = (past: AwardMemory, nowMs: number) =>
    decideAward(award, past, held(), state, nowMs).answers[0]?.refusal?.detail;
  expect(detail(memory(0), 499)).toBe(undefined);
  expect(detail(memory(0), 500)).toContain("lease ended 0 ms ago");
  const after = rememberAnswers(memory(0), award, 100);
  expect(after.leaderEpoch).toBe(1);
  expect(detail(after, 200)).toContain("answered before");
  expect(rememberAnswers(after, { ...award, jobs: [] }, 500).answered.size).toBe(0);
});

test("what is newest is known from sets and from awards", () => {
  const version = { leaderEpoch: 2, revision: 7 };
  expect(newestSeen(null, 3)).toEqual({ leaderEpoch: 3, revision: 0 });
  expect(newestSeen(version, 2)).toBe(version);
  expect(newestSeen(version, 3)).toEqual({ leaderEpoch: 3, revision: 0 });
});

const set = (patch: object) => ({ leaderEpoch: 2, revision: 5, whole: true, jobs: [], ...patch });
const one = [unitRecord({ acceptedAtMs: 0 }, specOf(1))];
const named = (epoch: number, action: "run" | "stop") => [{ jobId: specOf(1).jobId, epoch, action }];

test.each([
  ["not named", set({}), 60_000, { kind: "decided", stop: [specOf(1).jobId] }],
  ["not named, but just accepted", set({}), 5000, { kind: "decided", stop: [] }],
  [
    "not named, read just after it was accepted, come late",
    set({ madeAtMs: 5000 }),
    60_000,
    { kind: "decided", stop: [] },
  ],
  ["named to run", set({ jobs: named(1, "run") }), 60_000, { kind: "decided", stop: [] }],
  ["named to stop", set({ jobs: named(1, "stop") }), 60_000, { kind: "decided", stop: [specOf(1).jobId] }],
  ["a stop for an older epoch", set({ jobs: named(0, "stop") }), 60_000, { kind: "decided", stop: [] }],
  [
    "a higher epoch is to run: its award is on the way",
    set({ jobs: named(2, "run") }),
    60_000,
    { kind: "decided", stop: [] },
  ],
  ["not whole", set({ whole: false }), 60_000, { kind: "ignored", reason: "not-whole" }],
  [
    "not whole, with a stop",
    set({ whole: false, jobs: named(1, "stop") }),
    60_000,
    { kind: "ignored", reason: "not-whole" },
  ],
  ["an older revision", set({ revision: 3 }), 60_000, { kind: "ignored", reason: "older" }],
  ["an older leader", set({ leaderEpoch: 1, revision: 99 }), 60_000, { kind: "ignored", reason: "older" }],
  [
    "a newer leader starts from a low revision",
    set({ leaderEpoch: 3, revision: 0 }),
    60_000,
    { kind: "decided", stop: [specOf(1).jobId] },
  ],
] as const)("desired set: %s", (_name, desired, nowMs, decision) => {
  expect(decideStops(desired, { leaderEpoch: 2, revision: 4 }, one, nowMs)).toEqual(decision);
});

test("a heartbeat of as many loud failures as may be fits into one message and names every job", () => {
  const loud = { reason: "\0".repeat(1000), lastLines: Array(20).fill("\0".repeat(2000)) };
  const records = Array.from({ length: MOST_JOBS_TOLD }, (_, i) =>
    unitRecord({ state: "failed", ...loud }, specOf(i % 10)),
  );
  const { whole, jobs } = heartbeatJobs(records);
  expect(whole).toBe(true);
  expect(jobs).toHaveLength(MOST_JOBS_TOLD);
  const busLimitBytes = 1024 * 1024;
  const restBytes = 100 * 1024;
  expect(JSON.stringify(jobs).length).toBeLessThan(busLimitBytes - restBytes);
});
