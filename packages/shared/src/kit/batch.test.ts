import { expect, test } from "vitest";
import { batched, shared } from "./batch.ts";

test("who asks while a call is under way shares the next one, up to its size", async () => {
  const calls: number[][] = [];
  const double = batched(async (items: readonly number[]) => {
    calls.push([...items]);
    await new Promise((resolve) => setImmediate(resolve));
    return items.map((item) => item * 2);
  }, 3);
  const results = await Promise.all([1, 2, 3, 4, 5, 6].map(double));
  expect(results).toEqual([2, 4, 6, 8, 10, 12]);
  expect(calls).toEqual([[1], [2, 3, 4], [5, 6]]);
  expect(await double(7)).toBe(14);
});

test("a call that fails fails its callers, and no others", async () => {
  const work = batched(async (items: readonly number[]) => {
    if (items.includes(1)) throw new Error("one");
    return items;
  }, 10);
  const [first, second] = await Promise.allSettled([work(1), work(2)]);
  expect(first).toMatchObject({ status: "rejected", reason: { message: "one" } });
  expect(second).toEqual({ status: "fulfilled", value: 2 });
});

test("the same question at the same time is asked once, and again later", async () => {
  let asked = 0;
  const once = shared<number>();
  const ask = () => once("key", async () => ++asked);
  expect(await Promise.all([ask(), ask()])).toEqual([1, 1]);
  expect(await ask()).toBe(2);
});
