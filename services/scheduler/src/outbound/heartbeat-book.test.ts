import { silentLog } from "@berth/shared/kit/log.ts";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { HeartbeatBook } from "./heartbeat-book.ts";
import type { Heard } from "./host-registry.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const beat = (hostId: string, monotonicMs = 1, settled = true) =>
  ({
    ...{ settled, isRepeat: false },
    heartbeat: { hostId, bootId: "b", monotonicMs, atMs: 5, whole: true, jobs: [], revision: 1 },
  }) as unknown as Heard;

const again = (hostId: string, monotonicMs: number, revision = 1) => {
  const { heartbeat, settled } = beat(hostId, monotonicMs);
  return { settled, isRepeat: true, heartbeat: { ...heartbeat, revision } } as unknown as Heard;
};

/** @param refuses what of a group cannot be stored @param isLost whether the record knows no host */
function start(refuses: (hosts: readonly string[]) => boolean = () => false, isLost = () => false) {
  const [groups, answered, listed]: [string[][], string[], { hostId: string; atMs: number }[]] = [[], [], []];
  const touched: string[] = [];
  const book = new HeartbeatBook({
    log: silentLog,
    wake: () => undefined,
    store: async (beats) => {
      const hosts = beats.map(({ hostId, monotonicMs }) => `${hostId}@${monotonicMs}`);
      groups.push(hosts);
      if (refuses(hosts)) throw new Error("not stored");
    },
    touch: async (hosts) => {
      if (isLost()) return 0;
      touched.push(...hosts);
      return hosts.length;
    },
    desired: {
      answer: (hostId, { monotonicMs }) => void answered.push(`${hostId}@${monotonicMs}`),
      report: () => undefined,
    },
    observations: {
      takeLists: async (lists) => {
        listed.push(...lists.map(({ hostId, atMs }) => ({ hostId, atMs })));
        return false;
      },
    },
  });
  return { book, groups, answered, listed, touched };
}

test("what comes within a moment is one group, with the newest word of each host", async () => {
  const { book, groups, answered } = start();
  for (const one of [beat("a"), beat("b"), beat("a", 2)]) book.take(one);
  expect(answered).toEqual([]);
  await vi.runAllTimersAsync();
  expect(groups).toEqual([["b@1", "a@2"]]);
  expect(answered).toEqual(["b@1", "a@2"]);
});

test("none is answered that is not stored, and a bad one holds up no other", async () => {
  const { book, groups, answered, listed } = start((hosts) => hosts.includes("bad@1"));
  for (const one of [beat("a"), beat("bad"), beat("b")]) book.take(one);
  await vi.runAllTimersAsync();
  expect(groups).toEqual([["a@1", "bad@1", "b@1"], ["a@1"], ["bad@1"], ["b@1"]]);
  expect(answered).toEqual(["a@1", "b@1"]);
  expect(listed.map(({ hostId }) => hostId)).toEqual(["a", "b"]);
});

test("beside another machine's word no lease counts from a heartbeat, and its list proves no absence", async () => {
  const { book, answered, listed } = start();
  book.take(beat("a", 1, false));
  await vi.runAllTimersAsync();
  expect(answered).toEqual([]);
  expect(listed).toEqual([{ hostId: "a", atMs: 0 }]);
});

test("a closed book takes nothing more", async () => {
  const { book, groups } = start();
  book.take(beat("a"));
  await book.close();
  book.take(beat("b"));
  await vi.runAllTimersAsync();
  expect(groups).toEqual([]);
});

test("a host that says the same again is touched, answered and listed, and not written anew", async () => {
  const { book, groups, answered, listed, touched } = start();
  for (const one of [beat("a"), again("a", 2), again("a", 3)]) {
    book.take(one);
    await vi.runAllTimersAsync();
  }
  expect(groups).toEqual([["a@1"]]);
  expect(touched).toEqual(["a", "a"]);
  expect(answered).toEqual(["a@1", "a@2", "a@3"]);
  expect(listed).toHaveLength(3);
});

test("what repeats a heartbeat that is not in the record is written", async () => {
  let isAway = true;
  const { book, groups, touched } = start(() => isAway);
  book.take(beat("a"));
  await vi.runAllTimersAsync();
  isAway = false;
  book.take(again("a", 2));
  await vi.runAllTimersAsync();
  // Of a group the newest word counts, and it repeats what was never written.
  book.take({ ...again("a", 3, 2), isRepeat: false });
  book.take(again("a", 4, 2));
  await vi.runAllTimersAsync();
  expect(groups).toEqual([["a@1"], ["a@2"], ["a@4"]]);
  expect(touched).toEqual([]);
});

test("a host that the record lost is not answered, and written anew by its next word", async () => {
  let isLost = false;
  const { book, groups, touched, answered } = start(undefined, () => isLost);
  book.take(beat("a"));
  await vi.runAllTimersAsync();
  isLost = true;
  for (const one of [again("a", 2), again("a", 3)]) {
    book.take(one);
    await vi.runAllTimersAsync();
  }
  expect(groups).toEqual([["a@1"], ["a@3"]]);
  expect(touched).toEqual([]);
  expect(answered).toEqual(["a@1", "a@3"]);
});
