import { expect, test } from "vitest";
import {
  countContainerAddresses,
  deviceOf,
  freeAddress,
  hasWay,
  layCable,
  macOf,
} from "./container-cable.ts";

const place = { bridge: "be-1", slice: "10.128.1.0/26", gateway: "10.128.1.1", mtu: 1420 };

test("addresses are given in turn, and none that is in use", () => {
  expect(freeAddress(place, new Set(), null)).toBe("10.128.1.2");
  expect(freeAddress(place, new Set(["10.128.1.3"]), "10.128.1.2")).toBe("10.128.1.4");
});

test("the gateway's, the broadcast's and those of proxies are nobody's; after the last comes the first", () => {
  const given: string[] = [];
  for (;;) {
    const next = freeAddress(place, new Set(given), given.at(-1) ?? null);
    if (next === null) break;
    given.push(next);
  }
  // 64 without network, broadcast, gateway and 16 for proxies.
  expect(given).toHaveLength(45);
  expect(countContainerAddresses(place)).toBe(45);
  expect(given.at(-1)).toBe("10.128.1.46");
  expect(freeAddress(place, new Set(given.slice(1)), given.at(-1) ?? null)).toBe("10.128.1.2");
});

test("the host's end is named by the container, the other one has its address", () => {
  expect(deviceOf("0123456789abcdef")).toBe("veth0123456789");
  expect(macOf("10.128.1.200")).toBe("02:42:0a:80:01:c8");
  const [host, own, carried] = layCable({ pid: 42, containerId: "ab" }, "10.128.1.2", place);
  expect(host?.input).toContain("master be-1 up");
  expect(own?.input).toBe(
    "addr add 10.128.1.2/26 dev eth0\nlink set eth0 up\nroute add default via 10.128.1.1\n",
  );
  expect(carried?.argv.join(" ")).toMatch(/ state UP .* vethab$/);
});

test("a cable is laid when its route is there", () => {
  const head = "Iface\tDestination\tGateway\tFlags\n";
  const own = "eth0\t0001800A\t00000000\t0001\n";
  expect([
    hasWay(head),
    hasWay(`${head}${own}`),
    hasWay(`${head}${own}eth0\t00000000\t0101800A\t0003\n`),
  ]).toEqual([false, false, true]);
});
