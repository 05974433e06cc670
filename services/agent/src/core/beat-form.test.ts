import { MOST_JOBS_CHANGED, MOST_JOBS_TOLD } from "@berth/shared/contracts/host.ts";
import type { JobId } from "@berth/shared/domain/ids.ts";
import { HostState } from "@berth/shared/domain/placement.ts";
import { GIB } from "@berth/shared/domain/resources.ts";
import { expect, test } from "vitest";
import {
  type BeatForm,
  FULL_EVERY,
  forgetSaid,
  fullEvery,
  NOTHING_SAID,
  nextBeat,
  type Said,
} from "./beat-form.ts";

const state = HostState.parse({
  ...{
    hostId: `hst_${"0".repeat(26)}`,
    name: "h1",
    zone: "z",
    jobSlotsTotal: 9,
    jobSlotsFree: 9,
    startingCount: 0,
  },
  ...{ memoryTotalBytes: GIB, memoryFreeBytes: GIB, diskTotalBytes: 100 * GIB, diskFreeBytes: 50 * GIB },
  ...{ cpuTotalMillis: 2000, instancesByService: {}, imageDigests: [], cordoned: false, unavailable: [] },
  ceilings: [{ name: "pids", total: 1000, free: 30, perJob: 20 }],
  alarms: [{ code: "disk-filling", detail: "81 %" }],
});
const [j, k] = ["j", "k"] as JobId[] as [JobId, JobId];
const job = { jobId: j, epoch: 1, sequence: 4 };
const said = (patch: Partial<Said> = {}): Said => ({
  state,
  held: [job],
  rest: { routes: { e: 1 } },
  ...patch,
});
const withState = (patch: Partial<HostState>): Said => said({ state: { ...state, ...patch } });
const formAfter = (before: Said, now: Said): BeatForm =>
  nextBeat(nextBeat(NOTHING_SAID, before).memory, now).form;

test("the first beat is in full, then every fifth, and each names the last full one", () => {
  let memory = NOTHING_SAID;
  const beats = Array.from({ length: FULL_EVERY + 2 }, () => {
    const next = nextBeat(memory, said());
    memory = next.memory;
    return `${memory.revision} ${next.form.kind}`;
  });
  expect(beats).toEqual(["1 full", "1 same", "1 same", "1 same", "1 same", "2 full", "2 same"]);
  expect(nextBeat(forgetSaid(memory), said())).toMatchObject({
    form: { kind: "full" },
    memory: { revision: 3 },
  });
});

test.each<[string, Said]>([
  ["a job more", said({ held: [job, { ...job, jobId: k }] })],
  ["a job less", said({ held: [] })],
  ["another job", said({ held: [{ ...job, jobId: k }] })],
  ["a later epoch", said({ held: [{ ...job, epoch: 2 }] })],
  ["a change of a job", said({ held: [{ ...job, sequence: 5 }] })],
  ["routes", said({ rest: { routes: { e: 2 } } })],
  ["memory", withState({ memoryFreeBytes: GIB - 1 })],
  ["much disk", withState({ diskFreeBytes: 49 * GIB })],
  ["the engine", withState({ unavailable: ["engine-unreachable"] })],
  ["an alarm", withState({ alarms: [] })],
  ["a ceiling that is hit", withState({ ceilings: [{ name: "pids", total: 1000, free: 19, perJob: 20 }] })],
  [
    "a ceiling that moves much",
    withState({ ceilings: [{ name: "pids", total: 1000, free: 90, perJob: 20 }] }),
  ],
  ["no reading", withState({ ceilings: [] })],
])("told as a change: %s", (_what, now) => {
  expect(formAfter(said(), now)).toMatchObject({ kind: "changed", since: 1 });
});

test("a change names the jobs that are new or other, and those that are gone", () => {
  const other = { ...job, jobId: k };
  const names = (before: Said["held"], now: Said["held"]) =>
    formAfter(said({ held: before }), said({ held: now }));
  expect(names([job], [job, other])).toMatchObject({ changed: new Set([k]), gone: [] });
  expect(names([job, other], [{ ...other, sequence: 5 }])).toMatchObject({
    changed: new Set([k]),
    gone: [j],
  });
  expect(names([job, other], [other, job])).toMatchObject({ changed: new Set(), gone: [] });
});

test("a change is no reason to be in full later than every so many beats, and too many jobs are told in full", () => {
  let memory = NOTHING_SAID;
  const kinds = Array.from({ length: FULL_EVERY + 1 }, (_, sequence) => {
    const next = nextBeat(memory, said({ held: [{ ...job, sequence }] }));
    memory = next.memory;
    return next.form.kind;
  });
  expect(kinds).toEqual(["full", "changed", "changed", "changed", "changed", "full"]);
  const many = Array.from({ length: MOST_JOBS_CHANGED + 1 }, (_, n) => ({ ...job, jobId: `j${n}` as JobId }));
  expect(formAfter(said({ held: [] }), said({ held: many })).kind).toBe("full");
  expect(formAfter(said({ held: many }), said({ held: [] })).kind).toBe("full");
});

test("who did not hear of all jobs is told all of them as soon as one beat can name them", () => {
  const most = Array.from({ length: MOST_JOBS_TOLD }, (_, n) => ({ ...job, jobId: `j${n}` as JobId }));
  const more = said({ held: [...most, job] });
  expect(formAfter(more, more).kind).toBe("same");
  expect(formAfter(more, said({ held: most })).kind).toBe("full");
  expect(formAfter(said({ held: most }), said({ held: most.slice(1) })).kind).toBe("changed");
});

test.each<[string, Said]>([
  ["nothing", said({ state: structuredClone(state), held: [{ ...job }], rest: { routes: { e: 1 } } })],
  ["a little disk", withState({ diskFreeBytes: 50 * GIB - 1000 })],
  ["a few processes", withState({ ceilings: [{ name: "pids", total: 1000, free: 25, perJob: 20 }] })],
  ["an alarm's detail", withState({ alarms: [{ code: "disk-filling", detail: "82 %" }] })],
])("told as the same: %s", (_what, now) => {
  expect(formAfter(said(), now).kind).toBe("same");
});

test("the more jobs a beat in full has to say, the rarer it is, to a minute of beats", () => {
  expect([0, 1, 50].map(fullEvery)).toEqual([FULL_EVERY, FULL_EVERY, FULL_EVERY]);
  expect(fullEvery(200)).toBe(20);
  expect([300, 1000].map(fullEvery)).toEqual([30, 30]);
});
