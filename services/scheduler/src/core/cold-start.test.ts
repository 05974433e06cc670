import { expect, test } from "vitest";
import { coldStartStages } from "./cold-start.ts";

const stage = (name: string, startedAtMs: number, endedAtMs: number) => ({ name, startedAtMs, endedAtMs });
const wake = (atMs: number) => [
  stage("ready", 1, 2),
  stage("wake-start", atMs, atMs + 200),
  stage("wake-listen", atMs + 200, atMs + 500),
];

test("the instance that answered first tells; what it does not explain is before and after it", () => {
  expect(coldStartStages(1000, [wake(1100), wake(1010)], 1600)).toEqual([
    { name: "notice", ms: 10 },
    { name: "start", ms: 200 },
    { name: "listen", ms: 300 },
    { name: "settle", ms: 90 },
  ]);
});

test("a host that woke before the record knew, and a wake that no host tells of", () => {
  expect(coldStartStages(1000, [wake(990)], 1400)).toMatchObject([{ ms: 0 }, {}, {}, { ms: 0 }]);
  expect(coldStartStages(1000, [[stage("ready", 1, 2)], []], 1400)).toEqual([]);
  expect(coldStartStages(100_000, [wake(1000)], 100_500)).toEqual([]);
});
