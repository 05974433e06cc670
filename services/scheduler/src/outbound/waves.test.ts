import { expect, test } from "vitest";
import { Waves } from "./waves.ts";

test("a wave holds whole hosts; what has no host goes first", () => {
  const all = Array.from({ length: 1000 }, (_, n) => ({ n, host: n % 10 === 0 ? null : `h${n % 70}` }));
  const waves = [...new Waves<never>().cut(all, ({ host }) => host)];
  expect(
    waves
      .flat()
      .map(({ n }) => n)
      .sort((a, b) => a - b),
  ).toEqual(all.map(({ n }) => n));
  expect(waves.length).toBeGreaterThan(1);
  expect(waves[0]?.filter(({ host }) => host === null)).toHaveLength(100);
  const wavesOf = Map.groupBy(
    waves.flatMap((wave, at) => wave.map(({ host }) => ({ host, at }))),
    ({ host }) => host,
  );
  for (const [host, places] of wavesOf)
    if (host !== null) expect(new Set(places.map(({ at }) => at)).size).toBe(1);
});

test("messages hold at most 50, a bounded number is under way, and every one is sent", async () => {
  const waves = new Waves<string>();
  const open: (() => void)[] = [];
  let most = 0;
  const sent: number[] = [];
  const all = Array.from({ length: 400 }, (_, n) => `h${n}`).flatMap((host) => [host, host]);
  const big = Array.from({ length: 120 }, () => "big");
  const done = waves.send(
    [...big, ...all],
    (host) => host,
    (_host, group) => {
      sent.push(group.length);
      const { promise, resolve } = Promise.withResolvers<void>();
      open.push(resolve);
      most = Math.max(most, open.length);
      return promise;
    },
  );
  const release = setInterval(() => open.shift()?.(), 0);
  await done;
  clearInterval(release);
  expect(sent.slice(0, 3)).toEqual([50, 50, 20]);
  expect(sent).toHaveLength(403);
  expect(most).toBeLessThanOrEqual(256);
  expect(most).toBeGreaterThan(100);
});
