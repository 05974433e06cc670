import { expect, test } from "vitest";
import { judgeOom, type OomFacts, parseCgroup, parseKernelOom, parseOomKills } from "./oom-signs.ts";

const ID = "ab".repeat(32);

test("the memory cgroup is found in both hierarchies", () => {
  const v1 = `12:cpu,cpuacct:/docker/${ID}\n4:memory:/berth/${ID}\n0::/docker/${ID}\n`;
  expect(parseCgroup(v1)).toEqual({ version: 1, path: `/berth/${ID}` });
  const v2 = `0::/system.slice/docker-${ID}.scope\n`;
  expect(parseCgroup(v2)).toEqual({ version: 2, path: `/system.slice/docker-${ID}.scope` });
  expect(parseCgroup("")).toBeNull();
});

test("kills are counted in both formats, and a missing count is not zero", () => {
  expect(parseOomKills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")).toBe(3);
  expect(parseOomKills("low 0\nhigh 0\nmax 42\noom 4\noom_kill 2\noom_group_kill 0\n")).toBe(2);
  expect(parseOomKills("oom_kill_disable 0\nunder_oom 0\n")).toBeNull();
});

test("the kernel's log names the container whose limit was hit, not the one that was killed for another's", () => {
  const line = (constraint: string, memcg: string) =>
    `6,24410,10581201634,-;oom-kill:constraint=${constraint},nodemask=(null),cpuset=x,mems_allowed=0,${memcg},task=sh,pid=7`;
  const own = `oom_memcg=/docker/${ID},task_memcg=/docker/${ID}`;
  expect(parseKernelOom(line("CONSTRAINT_MEMCG", own))).toBe(ID);
  expect(parseKernelOom(line("CONSTRAINT_NONE", `global_oom,task_memcg=/docker/${ID}`))).toBeNull();
  expect(parseKernelOom(line("CONSTRAINT_MEMCG", `oom_memcg=/berth,task_memcg=/berth/${ID}`))).toBeNull();
});

const quiet: OomFacts = {
  ...{ exitCode: 1, engineSays: false, killsCount: 0, lastKillAgoMs: null },
  kernelTells: true,
};
const longAgo = { killsCount: 2, lastKillAgoMs: 3_600_000 };
test.each<[string, Partial<OomFacts>, boolean, number]>([
  ["no sign at all", {}, false, 0],
  ["SIGKILL by somebody", { exitCode: 137 }, false, 0],
  [
    "a counted kill, with an engine that says nothing",
    { exitCode: 137, killsCount: 1, lastKillAgoMs: 0 },
    true,
    0,
  ],
  ["a parent that ends because its child was killed", { killsCount: 1, lastKillAgoMs: 800 }, true, 0],
  ["a child that was killed an hour ago", longAgo, false, 2],
  ["the same, with the engine's flag set for ever", { ...longAgo, engineSays: true }, false, 2],
  ["the same, and then SIGKILL by somebody", { ...longAgo, exitCode: 137 }, false, 2],
  ["the same where the kernel's log is closed", { ...longAgo, exitCode: 137, kernelTells: false }, true, 0],
  ["a kernel that tells nothing, and the engine's word", { engineSays: true, kernelTells: false }, true, 0],
])("%s", (_name, patch, outOfMemory, earlierKillsCount) => {
  expect(judgeOom({ ...quiet, ...patch })).toEqual({ outOfMemory, earlierKillsCount });
});
