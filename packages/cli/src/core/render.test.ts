import { HostState } from "@berth/shared/domain/placement.ts";
import { expect, test } from "vitest";
import { renderCompletion } from "./render-completion.ts";
import { bar, orderSpans, renderTrace } from "./render-trace.ts";
import type { Decision } from "./render-why.ts";
import { renderDecision } from "./render-why.ts";

const span = (spanId: string, parentSpanId: string | null, startedAtMs: number, endedAtMs: number) => ({
  spanId,
  parentSpanId,
  startedAtMs,
  endedAtMs,
  service: "git",
  name: `span ${spanId}`,
  status: "ok",
});

test("children follow their parents, by start; orphans and loops are still shown once", () => {
  const spans = [
    span("c", "b", 2, 3),
    span("a", null, 0, 9),
    span("b", "a", 1, 4),
    span("o", "lost", 5, 6),
    span("x", "y", 7, 8),
    span("y", "x", 7, 8),
  ];
  expect(orderSpans(spans.slice(0, 4)).map(({ span: { spanId }, depth }) => [spanId, depth])).toEqual([
    ["a", 0],
    ["b", 1],
    ["c", 2],
    ["o", 0],
  ]);
  expect(orderSpans(spans)).toHaveLength(spans.length);
});

test("a bar has its place on the common line and is never empty", () => {
  expect(bar({ startedAtMs: 0, endedAtMs: 100 }, 0, 100)).toBe("█".repeat(32));
  expect(bar({ startedAtMs: 50, endedAtMs: 100 }, 0, 100)).toBe(`${"·".repeat(16)}${"█".repeat(16)}`);
  expect(bar({ startedAtMs: 100, endedAtMs: 100 }, 0, 100)).toBe(`${"·".repeat(31)}█`);
  expect(bar({ startedAtMs: -50, endedAtMs: 900 }, 0, 100)).toHaveLength(32);
});

test("the trace is indented and starts at zero", () => {
  const lines = renderTrace([span("a", null, 1000, 3000), span("b", "a", 1500, 2000)], (text) => text);
  expect(lines[1]).toMatch(/^span a +git +0 ms +2\.00 s/);
  expect(lines[2]).toMatch(/^ {2}span b +git +500 ms +500 ms/);
});

const GIB = 1024 ** 3;
const bid = HostState.parse({
  hostId: "hst_01hf0000000000000000000000",
  name: "h1",
  zone: "a",
  memoryTotalBytes: 8 * GIB,
  memoryFreeBytes: 2 * GIB,
  diskTotalBytes: 99 * GIB,
  diskFreeBytes: 50 * GIB,
  cpuTotalMillis: 4000,
  cpuFreeMillis: 64_000,
  ceilings: [],
  runtimes: ["runc"],
  volumes: [],
  jobSlotsTotal: 100,
  jobSlotsFree: 97,
  startingCount: 0,
  instancesByService: {},
  imageDigests: [],
  cordoned: false,
  unavailable: [],
});
const decision = (given: Partial<Decision>): Decision => ({
  id: "d",
  jobId: "job_01hf0000000000000000000000" as never,
  process: "web",
  slot: 1,
  epoch: 1,
  release: 3,
  decidedAtMs: 0,
  outcome: "placed",
  winner: "h1",
  answer: "accepted",
  current: true,
  candidates: [],
  commonRefusal: null,
  ...given,
});

test("why: bids, terms, the winner and the refusal", () => {
  const terms = {
    ...{ freeMemory: 0.25, freeDisk: 0.5, notStarting: 1, fewSameService: 1 },
    ...{ imagePresent: 1, fullMemory: 0.75, near: 0, zoneBalance: 1 },
  };
  const candidates: Decision["candidates"] = [
    {
      hostId: bid.hostId,
      host: "h2",
      bid: null,
      score: null,
      terms: null,
      refusal: { code: "host-silent", detail: "last heard 9 s ago" },
    },
    { hostId: bid.hostId, host: "h1", bid, score: 101.5, terms, refusal: null },
  ];
  const { heading, lines } = renderDecision(decision({ candidates }), 5000, (text) => text);
  expect(heading).toBe("web.1 v3 (epoch 1), 5 s ago: on h1, which accepted");
  expect(lines[0]).toMatch(/HOST +FREE RAM +FREE DISK +JOBS .*SCORE/);
  expect(lines[1]).toMatch(/^h1 +2 GiB +50 GiB +3 .* 101\.50 +winner, image present$/);
  expect(lines[2]).toMatch(/^h2 .*refused, host-silent: last heard 9 s ago$/);
});

test("why: nothing could be placed", () => {
  const given = decision({
    outcome: "unplaceable",
    winner: null,
    answer: "none",
    current: false,
    commonRefusal: "not-enough-memory",
  });
  expect(renderDecision(given, 0, (text) => text).heading).toContain("on no host: not-enough-memory");
});

test("completions name every command and option", () => {
  const tree = {
    name: "berth",
    about: "",
    options: ["--help"],
    children: [
      {
        name: "vars",
        about: "it's",
        options: [],
        children: [{ name: "set", about: "", options: ["--file"], children: [] }],
      },
    ],
  };
  expect(renderCompletion("bash", tree)).toContain('"vars set") words="--file"');
  expect(renderCompletion("zsh", tree)).toContain("bashcompinit");
  expect(renderCompletion("fish", tree)).toContain("-a vars -d 'it\\'s'");
});
