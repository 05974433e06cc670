import type { HostId, ServiceId } from "@berth/shared/domain/ids.ts";
import { expect, test } from "vitest";
import { LoadBook } from "./load-book.ts";

const [a, b] = ["hst_a", "hst_b"] as HostId[] as [HostId, HostId];
const shop = "svc_shop" as ServiceId;

test("the mean of each edge's last seconds, added up; unknown while an edge is silent", () => {
  const book = new LoadBook();
  expect(book.inFlight(shop, [], 0)).toBeNull();
  book.take(a, { svc_shop: 10 }, 1000);
  expect(book.inFlight(shop, [a, b], 1000)).toBeNull();
  book.take(b, {}, 1000);
  expect(book.inFlight(shop, [a, b], 1000)).toBe(10);
  book.take(a, { svc_shop: 20 }, 3000);
  book.take(b, { svc_shop: 3, svc_other: 9 }, 3000);
  expect(book.inFlight(shop, [a, b], 3000)).toBe(15 + 1.5);
  expect(book.inFlight(shop, [a], 12_000)).toBe(20);
  expect(book.inFlight(shop, [a], 14_000)).toBeNull();
});
