import { HostState } from "@berth/shared/domain/placement.ts";
import { GIB } from "@berth/shared/domain/resources.ts";
import { expect, test } from "vitest";
import { FULL_EVERY, forgetSaid, fullEvery, NOTHING_SAID, nextBeat, type Said } from "./beat-form.ts";

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
const job = { jobId: "j", epoch: 1, sequence: 4 };
const said = (patch: Partial<Said> = {}): Said => ({
  state,
  held: [job],
  rest: { routes: { e: 1 } },
  ...patch,
});
const withState = (patch: Partial<HostState>): Said => said({ state: { ...state, ...patch } });
const isFullAfter = (before: Said, now: Said): boolean =>
  nextBeat(nextBeat(NOTHING_SAID, before).memory, now).isFull;

test("the first beat is in full, then every fifth, and each names the last full one", () => {
  let memory = NOTHING_SAID;
  const beats = Array.from({ length: FULL_EVERY + 2 }, () => {
    const next = nextBeat(memory, said());
    memory = next.memory;
    return `${memory.revision}${next.isFull ? " full" : ""}`;
  });
  expect(beats).toEqual(["1 full", "1", "1", "1", "1", "2 full", "2"]);
  expect(nextBeat(forgetSaid(memory), said())).toMatchObject({ isFull: true, memory: { revision: 3 } });
});

test.each<[string, Said]>([
  ["a job more", said({ held: [job, { ...job, jobId: "k" }] })],
  ["a job less", said({ held: [] })],
  ["another job", said({ held: [{ ...job, jobId: "k" }] })],
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
])("told in full: %s", (_what, now) => {
  expect(isFullAfter(said(), now)).toBe(true);
});

test.each<[string, Said]>([
  ["nothing", said({ state: structuredClone(state), held: [{ ...job }], rest: { routes: { e: 1 } } })],
  ["a little disk", withState({ diskFreeBytes: 50 * GIB - 1000 })],
  ["a few processes", withState({ ceilings: [{ name: "pids", total: 1000, free: 25, perJob: 20 }] })],
  ["an alarm's detail", withState({ alarms: [{ code: "disk-filling", detail: "82 %" }] })],
])("told as the same: %s", (_what, now) => {
  expect(isFullAfter(said(), now)).toBe(false);
});

test("the more jobs a beat in full has to say, the rarer it is, to a minute of beats", () => {
  expect([0, 1, 50].map(fullEvery)).toEqual([FULL_EVERY, FULL_EVERY, FULL_EVERY]);
  expect(fullEvery(200)).toBe(20);
  expect([300, 1000].map(fullEvery)).toEqual([30, 30]);
});
