import { expect, test } from "vitest";
import { configure, defaultSetting, newSettings, planScale, snapshot } from "./plan-processes.ts";

const web = defaultSetting("web", "/up");
const worker = defaultSetting("worker", "/up");

test("web starts by itself and has the health path, others wait for somebody", () => {
  expect([web.scale, web.healthPath, worker.scale, worker.healthPath]).toEqual([1, "/up", 0, null]);
});

test("only process types seen for the first time are added", () => {
  const table = { web: { command: "" }, worker: { command: "" } };
  expect(newSettings(table, [{ ...web, scale: 5 }], "/up")).toEqual([worker]);
});

test("a release's snapshot has its own processes, web first", () => {
  const table = { worker: { command: "" }, web: { command: "" } };
  expect(snapshot(table, [worker, defaultSetting("clock", null), web]).map((s) => s.process)).toEqual([
    "web",
    "worker",
  ]);
});

test.each([
  [{ scale: 3 }, false, true],
  [{ memoryBytes: 1 }, true, false],
  [{ cpuMillis: 1, scale: 2 }, true, true],
  [{ diskBytes: 0 }, true, false],
  [{ healthPath: null }, true, false],
  [{ scale: 1, healthPath: "/up" }, false, false],
])("%j", (change, sizesChanged, countsChanged) => {
  expect(planScale([worker, web], [{ process: "web", ...change }])).toMatchObject({
    kind: "change",
    sizesChanged,
    countsChanged,
  });
});

test("a process that the service does not have is an answer", () => {
  expect(planScale([web], [{ process: "clock", scale: 1 }])).toEqual({
    kind: "unknown-process",
    process: "clock",
  });
});

test("sizes and times are the repository's whenever it names them, a count only at first", () => {
  const before = { ...defaultSetting("web", "/old"), scale: 3 };
  const wishes = { web: { scale: 2, memoryBytes: 1, startDeadlineMs: 5000 } };
  expect(configure([before], new Set(), wishes)).toEqual([
    { ...before, memoryBytes: 1, startDeadlineMs: 5000, scale: 3, healthPath: "/old" },
  ]);
  expect(configure([before], new Set(["web"]), wishes)[0]?.scale).toBe(2);
  expect(configure([before], new Set(["web"]), {})).toEqual([before]);
});
