/** Names as the resolver reads them. */
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { expect, test } from "vitest";
import { linkHostsText } from "./link-names.ts";
import { hostsText, recordsConfig, resolverConfig, serversText, srvText } from "./names.ts";

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
  const given = { gateway: "10.128.0.1", hostsFile: "/h", pidFile: "/p", serversFile: "/s" };
  const config = resolverConfig({ ...given, isAskingOutside: true });
  expect(config.split("\n")).not.toContain("no-resolv");
  expect(resolverConfig({ ...given, isAskingOutside: false }).split("\n")).toContain("no-resolv");
  for (const line of [
    "local=/internal/",
    "domain-needed",
    "bogus-priv",
    "stop-dns-rebind",
    "bogus-nxdomain=100.64.0.0/10",
  ])
    expect(config.split("\n")).toContain(line);
  expect(config.split("\n")).toContain("servers-file=/s");
});

test("SRV records have a process of their own, which is asked for their domains alone", () => {
  const srv = srvText([
    listening(1, "10.128.0.2"),
    listening(2, "10.128.1.2"),
    listening(1, "10.128.0.9", "db", 5432),
  ]);
  expect(serversText(srv, "10.128.0.1", 5301)).toBe(
    "server=/_db._tcp.shop.internal/10.128.0.1#5301\nserver=/_http._tcp.shop.internal/10.128.0.1#5301\n",
  );
  expect(serversText("", "10.128.0.1", 5301)).toBe("");
  const config = recordsConfig({ gateway: "10.128.0.1", port: 5301, pidFile: "/p", srv });
  for (const line of ["listen-address=10.128.0.1", "port=5301", "no-resolv", "local=/internal/"])
    expect(config.split("\n")).toContain(line);
});

test("a linked service is named by whose it is; instances that are not ready are in no answer", () => {
  const instances = [
    { address: "10.128.64.2", ready: true },
    { address: "10.128.65.2", ready: false },
  ];
  const link = { environmentId: "env_1" as EnvironmentId, name: "ledger.live.acme", instances };
  expect(
    linkHostsText([
      { ...link, port: 80 },
      { ...link, port: 81 },
    ]),
  ).toBe("10.128.64.2 ledger.live.acme.link.internal\n");
});
