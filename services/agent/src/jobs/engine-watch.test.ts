import { silentLog } from "@berth/shared/kit/log.ts";
import { expect, test } from "vitest";
import { EngineWatch } from "./engine-watch.ts";

function watched() {
  let nowMs = 0;
  let reconnects = 0;
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
  const watch = new EngineWatch({ clock, log: silentLog, reconnect: () => void reconnects++ });
  const pass = (ms: number, stepMs = 1000) => {
    for (let passed = 0; passed < ms; passed += stepMs) {
      nowMs += stepMs;
      watch.check();
    }
  };
  return { watch, pass, reconnects: () => reconnects };
}

test("a minute without a look: the bid says so, and new connections are opened, once a minute", () => {
  const { watch, pass, reconnects } = watched();
  pass(59_000);
  expect([watch.isStuck(), reconnects()]).toEqual([false, 0]);
  pass(2000);
  expect([watch.isStuck(), reconnects()]).toEqual([true, 1]);
  pass(30_000);
  expect(reconnects()).toBe(1);
  pass(31_000);
  expect(reconnects()).toBe(2);
  watch.noteLook();
  expect(watch.isStuck()).toBe(false);
  watch.close();
});

test("time in which the process stood still is not the engine's", () => {
  const { watch, pass, reconnects } = watched();
  pass(30_000);
  pass(300_000, 300_000);
  expect([watch.isStuck(), reconnects()]).toEqual([false, 0]);
  watch.close();
});
