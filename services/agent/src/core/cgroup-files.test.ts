import { expect, test } from "vitest";
import { cgroupFiles, cpuMicroseconds, limitBytes, workingSetBytes } from "./cgroup-files.ts";

test("version 1 names a folder per controller, also where two share one", () => {
  const files = cgroupFiles(
    "12:pids:/docker/c1\n4:cpu,cpuacct:/docker/c1\n3:memory:/docker/c1\n0::/docker/c1\n",
  );
  expect(files?.memory).toBe("/sys/fs/cgroup/memory/docker/c1/memory.usage_in_bytes");
  expect(files?.cpu).toBe("/sys/fs/cgroup/cpuacct/docker/c1/cpuacct.usage");
  expect(files?.pids).toBe("/sys/fs/cgroup/pids/docker/c1/pids.current");
});

test("version 2 has one folder; the root is nobody's job", () => {
  expect(cgroupFiles("0::/system.slice/docker-c1.scope\n")?.memory).toBe(
    "/sys/fs/cgroup/system.slice/docker-c1.scope/memory.current",
  );
  expect(cgroupFiles("0::/\n")).toBeNull();
  expect(cgroupFiles("")).toBeNull();
});

test("the file cache does not count, of either version", () => {
  expect(workingSetBytes("1000\n", "inactive_file 5\ntotal_inactive_file 300\n")).toBe(700);
  expect(workingSetBytes("1000\n", "anon 1\ninactive_file 300\n")).toBe(700);
  expect(workingSetBytes("100\n", "inactive_file 300\n")).toBe(0);
});

test("no limit is null, CPU time is in microseconds", () => {
  expect(limitBytes("max\n")).toBeNull();
  expect(limitBytes("9223372036854771712\n")).toBeNull();
  expect(limitBytes("268435456\n")).toBe(268435456);
  expect(cpuMicroseconds("2000000\n")).toBe(2000);
  expect(cpuMicroseconds("usage_usec 2000\nuser_usec 1\n")).toBe(2000);
});
