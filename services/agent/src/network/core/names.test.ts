/** Names as the resolver reads them. */
import { expect, test } from "vitest";
import { hostsText } from "./names.ts";

const instance = (service: string, process: string, slot: number, address: string) => ({
  service,
  process,
  slot,
  address,
});

test("a service answers with its web instances, a process and an instance with their own", () => {
  const text = hostsText([
    instance("shop", "web", 1, "10.128.0.2"),
    instance("shop", "web", 2, "10.128.1.2"),
    instance("shop", "mail_worker", 1, "10.128.0.3"),
  ]);
  expect(text.split("\n")).toEqual([
    "10.128.0.2 1.web.shop.internal shop.internal web.shop.internal",
    "10.128.0.3 1.mail-worker.shop.internal mail-worker.shop.internal",
    "10.128.1.2 2.web.shop.internal shop.internal web.shop.internal",
    "",
  ]);
});

test("a service without web answers with all it has", () => {
  expect(hostsText([instance("queue", "worker", 1, "10.128.0.4")])).toBe(
    "10.128.0.4 1.worker.queue.internal queue.internal worker.queue.internal\n",
  );
});
