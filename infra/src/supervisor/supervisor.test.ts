import { expect, test } from "vitest";
import { backOffMs } from "./back-off.ts";
import { cgroupWrites } from "./cgroup.ts";
import { parseProcStat } from "./proc-stat.ts";
import { ProcessesFile } from "./process-spec.ts";
import { findUser } from "./user.ts";

test("back-off doubles from 100 ms to 30 s, with jitter of at most a half", () => {
  expect(backOffMs(1, 0)).toBe(50);
  expect(backOffMs(1, 0.999)).toBeLessThanOrEqual(100);
  expect(backOffMs(4, 1)).toBe(800);
  expect(backOffMs(1000, 1)).toBe(30_000);
});

test("a command name with spaces and brackets does not shift the fields of /proc/PID/stat", () => {
  const line = `42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 10 18446744073709551615`;
  expect(parseProcStat(line)).toEqual({ state: "S", processGroup: 42, startTicks: "98765" });
  expect(parseProcStat("garbage")).toBeNull();
});

test("limits are written in the units of each cgroup version", () => {
  const limits = { memoryBytes: 1024, cpus: 1.5, pids: 10 };
  expect(cgroupWrites(limits, 2).map(({ file, value }) => `${file}=${value}`)).toEqual([
    "memory.max=1024",
    "cpu.max=150000 100000",
    "pids.max=10",
  ]);
  expect(cgroupWrites(limits, 1).map(({ file }) => file)).toEqual([
    "memory.limit_in_bytes",
    "cpu.cfs_period_us",
    "cpu.cfs_quota_us",
    "pids.max",
  ]);
});

test("a process list with a double name or an unknown dependency is refused", () => {
  const one = { name: "a", command: ["true"] };
  expect(ProcessesFile.safeParse([one, one]).success).toBe(false);
  expect(ProcessesFile.safeParse([{ ...one, dependsOn: ["b"] }]).success).toBe(false);
  expect(ProcessesFile.safeParse([{ ...one, commands: [] }]).success).toBe(false);
});

test("a user is found by its whole name", () => {
  expect(
    findUser("root:x:0:0::/:/bin/sh\npg:x:1:1::/:/bin/sh\npostgres:x:7:8::/:/bin/sh\n", "postgres"),
  ).toEqual({ uid: 7, gid: 8 });
  expect(findUser("root:x:0:0::/:/bin/sh\n", "ro")).toBeNull();
});
