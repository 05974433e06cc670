import { expect, test, vi } from "vitest";
import type { Log } from "./log.ts";
import { Reconciler } from "./reconciler.ts";

const log = { warn: () => {}, error: () => {} } as unknown as Log;
const hour = 3_600_000;

test("wakes during a run lead to exactly one more", async () => {
  let runs = 0;
  let end = () => {};
  const run = () => {
    runs += 1;
    return new Promise<void>((resolve) => {
      end = resolve;
    });
  };
  const loop = new Reconciler({ name: "t", everyMs: hour, log, run });
  for (let i = 0; i < 5; i++) loop.wake();
  end();
  await vi.waitFor(() => expect(runs).toBe(2));
  end();
  await loop.close();
  expect(runs).toBe(2);
});

test("a loop that rests gathers the wakes of its rest in one run", async () => {
  vi.useFakeTimers();
  try {
    let runs = 0;
    const run = async () => {
      runs += 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
    };
    const loop = new Reconciler({ name: "t", everyMs: hour, log, run, restFactor: 2 });
    await vi.advanceTimersByTimeAsync(20);
    for (let ms = 0; ms < 39; ms++) {
      loop.wake();
      await vi.advanceTimersByTimeAsync(1);
    }
    expect(runs).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(runs).toBe(2);
    await vi.advanceTimersByTimeAsync(20);
    await loop.close();
  } finally {
    vi.useRealTimers();
  }
});

test("a rest is no end: what was asked for in it is done after it, and nothing after the close", async () => {
  let runs = 0;
  const run = async () => {
    runs += 1;
  };
  const loop = new Reconciler({ name: "t", everyMs: hour, log, run, restFactor: 1 });
  await vi.waitFor(() => expect(runs).toBe(1));
  loop.wake();
  await vi.waitFor(() => expect(runs).toBe(2));
  await loop.close();
  loop.wake();
  expect(runs).toBe(2);
});

test("runs that take long come less often, up to a bound, and a wake does not wait", async () => {
  vi.useFakeTimers();
  try {
    let runs = 0;
    let takesMs = 1;
    const run = async () => {
      runs += 1;
      await new Promise((resolve) => setTimeout(resolve, takesMs));
    };
    const period = { everyMs: 100, everyFactor: 200, mostEveryMs: 1000 };
    const loop = new Reconciler({ name: "t", ...period, log, run });
    await vi.advanceTimersByTimeAsync(1 + 150);
    expect(runs).toBe(1);
    await vi.advanceTimersByTimeAsync(75);
    expect(runs).toBe(2);
    takesMs = 50;
    loop.wake();
    expect(runs).toBe(3);
    await vi.advanceTimersByTimeAsync(50 + 850);
    expect(runs).toBe(3);
    await vi.advanceTimersByTimeAsync(300);
    expect(runs).toBe(4);
    await vi.advanceTimersByTimeAsync(50);
    await loop.close();
  } finally {
    vi.useRealTimers();
  }
});
