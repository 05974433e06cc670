import type { HostId } from "@berth/shared/domain/ids.ts";
import { expect, test } from "vitest";
import {
  addSkew,
  compareAlarms,
  countFreezes,
  judgeAlarms,
  type SkewSamples,
  skewOf,
} from "./judge-alarms.ts";

const after = (...differencesMs: number[]) =>
  differencesMs.reduce<SkewSamples>((samples, one) => addSkew(samples, 50_000 + one, 50_000), []);

test("late heartbeats are no skew, early or steadily late ones are", () => {
  expect(skewOf(after(-9000, -9000))).toBe(null);
  expect(skewOf(after(-9000, -4, -9000, -9000, -9000))).toBe(-4);
  expect(skewOf(after(-9000, -4000, -5000, -9000, -9000))).toBe(-4000);
  expect(skewOf(after(-1, 3000, -1))).toBe(3000);
  expect(skewOf(after(5000, 0, 0, 0, 0, 0))).toBe(0);
});

test("alarms begin, change and end", () => {
  const wanted = judgeAlarms(
    [{ pod: "main", silentCount: 3, hostsCount: 5 }],
    new Map([["hst_a" as HostId, after(0, 4000, 0)]]),
  );
  expect(wanted.map(({ subject, detail }) => [subject, detail])).toEqual([
    ["main", "evictions frozen: 3 of 5 hosts silent"],
    ["hst_a", "its clock is 4 s ahead of the scheduler's"],
  ]);
  expect(compareAlarms([], wanted).raised).toEqual(wanted);
  expect(compareAlarms(wanted, wanted)).toEqual({ raised: [], changed: [], cleared: [] });
  expect(compareAlarms(wanted, []).cleared).toEqual(wanted);
  const worse = judgeAlarms([{ pod: "main", silentCount: 4, hostsCount: 5 }], new Map());
  expect(compareAlarms(wanted, worse)).toMatchObject({ raised: [], changed: worse, cleared: [wanted[1]] });
});

test("a frozen pod counts its own hosts, lost ones not", () => {
  const hosts = ["a", "b", "c", "d"].map((id) => ({
    hostId: id as HostId,
    pod: id === "d" ? "other" : "main",
  }));
  const states = { a: "suspect", b: "alive", c: "lost", d: "suspect" } as const;
  const verdicts = hosts.map(({ hostId }) => ({
    hostId,
    state: states[hostId as unknown as keyof typeof states],
  }));
  expect(countFreezes(hosts, verdicts, ["main"])).toEqual([{ pod: "main", silentCount: 1, hostsCount: 2 }]);
});
