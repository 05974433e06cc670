/** Names as the resolver reads them. */
import { expect, test } from "vitest";
import { hostsText, resolverConfig, srvText } from "./names.ts";

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

const listening = (slot: number, address: string, process = "web", port = 8080) => ({
  ...instance("shop", process, slot, address),
  ports: [{ name: process === "web" ? "http" : process, port }],
});

test("SRV records name ready instances and their ports; a replaced instance changes none of them", () => {
  const before = srvText([
    listening(2, "10.128.1.2"),
    listening(1, "10.128.0.2"),
    listening(1, "10.128.0.9", "db", 5432),
  ]);
  expect(before.split("\n")).toEqual([
    "srv-host=_db._tcp.shop.internal,1.db.shop.internal,5432",
    "srv-host=_http._tcp.shop.internal,1.web.shop.internal,8080",
    "srv-host=_http._tcp.shop.internal,2.web.shop.internal,8080",
    "",
  ]);
  const replaced = [
    listening(2, "10.128.1.7"),
    listening(1, "10.128.0.2"),
    listening(1, "10.128.0.9", "db", 5432),
  ];
  expect(srvText([...replaced, listening(2, "10.128.1.2")])).toBe(before);
  expect(srvText([instance("shop", "web", 1, "10.128.0.2")])).toBe("");
});

test("the zone stays inside, and no outside name leads to a private address", () => {
  const config = resolverConfig({
    gateway: "10.128.0.1",
    hostsFile: "/h",
    pidFile: "/p",
    srv: "srv-host=x\n",
  });
  for (const line of [
    "local=/internal/",
    "domain-needed",
    "bogus-priv",
    "stop-dns-rebind",
    "bogus-nxdomain=100.64.0.0/10",
  ])
    expect(config.split("\n")).toContain(line);
  expect(config.endsWith("\nsrv-host=x\n")).toBe(true);
});
