import { systemClock } from "@berth/shared/kit/clock.ts";
import { expect, test } from "vitest";
import { StartGate } from "./start-gate.ts";

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("no more go in at once than the limit, and lower places first", async () => {
  const gate = new StartGate(systemClock, 1);
  const order: number[] = [];
  const first = Promise.withResolvers<void>();
  const all = [
    gate.run("create", 9, () => first.promise),
    ...[3, 1, 2].map((place) => gate.run("create", place, async () => void order.push(place))),
  ];
  await settled();
  expect(order).toEqual([]);
  first.resolve();
  await Promise.all(all);
  expect(order).toEqual([1, 2, 3]);
});

test("one that hangs gives its slot back, and its caller still gets its result", async () => {
  const gate = new StartGate(systemClock, 1, 20);
  const hung = Promise.withResolvers<string>();
  const result = gate.run("start", 0, () => hung.promise);
  await gate.run("start", 1, async () => {});
  hung.resolve("late");
  expect(await result).toBe("late");
  await gate.run("start", 2, async () => {});
});

test("one that fails gives its slot back", async () => {
  const gate = new StartGate(systemClock, 1);
  await expect(gate.run("start", 0, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  await gate.run("start", 1, async () => {});
});
