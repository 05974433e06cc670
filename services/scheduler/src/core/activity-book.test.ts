import type { HostId, ServiceId } from "@berth/shared/domain/ids.ts";
import { expect, test } from "vitest";
import { ActivityBook } from "./activity-book.ts";

const [a, b] = ["hst_a", "hst_b"] as HostId[] as [HostId, HostId];
const shop = "svc_shop" as ServiceId;

function heard(book: ActivityBook, fromMs: number, toMs: number, hosts: readonly HostId[] = [a, b]): void {
  for (let atMs = fromMs; atMs <= toMs; atMs += 2000)
    for (const host of hosts) book.take(host, "w", [], atMs);
}

test("quiet from when the last edge began to be heard, or saw a request", () => {
  const book = new ActivityBook();
  heard(book, 2000, 20_000, [a]);
  expect(book.quietSinceMs(shop, [a, b], 20_000)).toBeNull();
  heard(book, 20_000, 40_000);
  expect(book.quietSinceMs(shop, [a, b], 40_000)).toBe(20_000);
  expect(book.quietSinceMs(shop, [a], 40_000)).toBe(2000);
  book.take(b, "w", [shop], 41_000);
  expect(book.quietSinceMs(shop, [a, b], 41_500)).toBe(41_000);
});

test("a gap, another proxy and a silent edge: nothing is known of what was before", () => {
  const book = new ActivityBook();
  heard(book, 2000, 20_000);
  expect(book.quietSinceMs(shop, [a, b], 31_000)).toBeNull();
  heard(book, 32_000, 34_000);
  expect(book.quietSinceMs(shop, [a, b], 34_000)).toBe(32_000);
  book.take(a, "another", [], 36_000);
  expect(book.quietSinceMs(shop, [a, b], 36_000)).toBe(36_000);
  expect(book.quietSinceMs(shop, [], 36_000)).toBeNull();
});
