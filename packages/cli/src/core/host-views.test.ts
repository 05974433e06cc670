import { BINPACK_WEIGHTS, DEFAULT_WEIGHTS, HostState, totalScore } from "@berth/shared/domain/placement.ts";
import { describe, expect, test } from "vitest";
import { drainNews } from "./drain-news.ts";
import { explainChoice } from "./explain-choice.ts";
import type { HostDetails } from "./render-host.ts";
import { renderHost, usedBar } from "./render-host.ts";

const GIB = 1024 ** 3;
const same = (text: string) => text;
type Job = HostDetails["jobs"][number];

const job = (slot: number, given: Partial<Job> = {}): Job => ({
  ...{
    jobId: `job_01hf000000000000000000000${slot}` as never,
    org: "acme",
    environment: "prod",
    service: "shop",
  },
  ...{ process: "web", slot, release: 3, state: "running", ready: true, inRotation: true, leaving: false },
  ...{ memoryBytes: GIB / 4, restartsCount: 0, sinceMs: 0, successor: null },
  ...given,
});

const details = (given: Partial<HostDetails> = {}): HostDetails => ({
  host: {
    ...{
      id: "hst_01hf0000000000000000000000" as never,
      name: "h2",
      nodeAddress: "10.0.0.2",
      subnet: "10.210.2.0/24",
    },
    ...{ zone: "b", pod: "eu", state: "alive", lastHeartbeatAt: new Date(4000).toISOString(), jobsCount: 1 },
    ...{
      engineVersion: "26",
      joinedAt: "2026-01-01",
      cordoned: false,
      draining: false,
      labels: {},
      dedicatedTo: null,
    },
    alarms: [{ code: "bridge-ports-low", detail: "100 left" }],
    bid: HostState.parse({
      ...{
        hostId: "hst_01hf0000000000000000000000",
        name: "h2",
        zone: "b",
        cordoned: false,
        unavailable: [],
      },
      ...{ memoryTotalBytes: 8 * GIB, memoryFreeBytes: 2 * GIB, diskTotalBytes: GIB, diskFreeBytes: GIB },
      ...{
        cpuTotalMillis: 2000,
        jobSlotsTotal: 10,
        jobSlotsFree: 9,
        startingCount: 1,
        instancesByService: {},
      },
      ...{ imageDigests: [], ceilings: [{ name: "bridge-ports", total: 1000, free: 100, perJob: 1 }] },
    }),
  },
  identity: {
    ...{ agentKey: "UAGENT", logshipperKey: "ULOG", bootId: "b", agentStartedAtMs: 0, agentVersion: "0.1.0" },
    cloned: null,
  },
  recovery: { atMs: 0, cause: "boot", jobs: 3, adopted: 1, problems: ["image gone"], readyAfterMs: 2500 },
  startLimit: 4,
  jobs: [job(1)],
  ...given,
});

describe("hosts show", () => {
  test("bid, ceilings, alarms, recovery and jobs are there", () => {
    const text = renderHost(details(), ["cordoned"], 5000, same).join("\n");
    expect(text).toContain("h2  alive, heard 1 s ago");
    expect(text).toMatch(/memory +\[█{15}·{5}\] 6 GiB of 8 GiB used, 2 GiB free/);
    expect(text).toMatch(/bridge-ports +\[█{18}··\] 900 of 1000 used, a job takes 1/);
    expect(text).toContain("bridge-ports-low: 100 left");
    expect(text).toContain("starting           1, at most 4");
    expect(text).toContain("5 s ago, boot, jobs 3, adopted 1, ready after 2.5 s");
    expect(text).toContain("image gone");
    expect(text).toMatch(/acme\/prod\/shop +web\.1 +v3 +running, ready +yes/);
  });

  test("a cloned identity names both machines and what to do; a host without a bid is shown too", () => {
    const cloned = {
      sinceMs: 0,
      instances: [
        { instance: "a", machine: "node-1 10.0.0.2", taken: true, lastHeardMs: 4000 },
        { instance: "b", machine: "node-9 10.0.0.9", taken: false, lastHeardMs: 3000 },
      ],
    };
    const given = details({ recovery: null, jobs: [] });
    const text = renderHost(
      { ...given, host: { ...given.host, bid: null }, identity: { ...given.identity, cloned } },
      [],
      5000,
      same,
    ).join("\n");
    expect(text).toContain("node-1 10.0.0.2, heard 1 s ago, taken as the host");
    expect(text).toContain("node-9 10.0.0.9, heard 2 s ago, not listened to");
    expect(text).toContain("it has made no bid");
    expect(text).toContain("it runs nothing");
  });

  test.each([
    [0, 0, "[····]"],
    [1, 2, "[██··]"],
    [9, 2, "[████]"],
  ])("%d of %d is %s", (used, total, bar) => expect(usedBar(used, total, 4)).toBe(bar));
});

describe("drain", () => {
  const waiting = { host: null, state: "requested" as const, waitsFor: "no-job-slot on every host" };
  test("tells what moved where and what cannot", () => {
    const first = [job(1), job(2)];
    expect(drainNews(null, first, same)).toEqual(["2 to move"]);
    const second = [
      job(1, { leaving: true, successor: { host: "h3", state: "starting", waitsFor: null } }),
      job(2, { leaving: true, successor: waiting }),
    ];
    expect(drainNews(first, second, same)).toEqual([
      "acme/prod/shop web.1 leaves for h3 (starting)",
      "acme/prod/shop web.2 cannot leave: no-job-slot on every host",
    ]);
    expect(drainNews(second, second, same)).toEqual([]);
    expect(drainNews(second, second.slice(1), same)).toEqual(["acme/prod/shop web.1 moved to h3, 1 left"]);
    expect(drainNews(null, [], same)).toEqual([]);
  });
});

describe("why here", () => {
  const terms = (freeMemory: number, fewSameService: number) => ({
    ...{ freeMemory, freeDisk: 0.5, notStarting: 1, fewSameService, imagePresent: 0 },
    ...{ fullMemory: 1 - freeMemory, near: 0, zoneBalance: 1 },
  });
  const bid = (host: string, of: ReturnType<typeof terms>, weights = DEFAULT_WEIGHTS) => ({
    ...{ host, terms: of, score: totalScore(of, weights) },
  });
  const title = (term: string) => term.slice(0, 6);

  test("differences by term, the largest first, by the strategy that made the score", () => {
    const lines = explainChoice([bid("h1", terms(0.5, 1)), bid("h2", terms(0.9, 0.996))], "h1", title);
    expect(lines[0]).toBe("h1 over h2 by 9.60 (spread)");
    expect(lines[1]).toMatch(/^ {2}fewSam +\+10\.00 +█{20}$/);
    expect(lines[2]).toMatch(/^ {2}freeMe +-0\.40 +░$/);
    const packed = [bid("h1", terms(0.5, 1), BINPACK_WEIGHTS), bid("h2", terms(0.9, 1), BINPACK_WEIGHTS)];
    expect(explainChoice(packed, "h1", title)[0]).toContain("(binpack)");
  });

  test("equal ones are said to be; nobody to compare with, or another formula, says nothing", () => {
    const one = bid("h1", terms(0.5, 1));
    expect(explainChoice([one, { ...one, host: "h2" }], "h1", title)[0]).toContain("are equal");
    expect(explainChoice([one], "h1", title)).toEqual([]);
    expect(
      explainChoice(
        [
          { ...one, score: 3 },
          { ...one, host: "h2" },
        ],
        "h1",
        title,
      ),
    ).toEqual([]);
    expect(explainChoice([one], null, title)).toEqual([]);
  });
});
