/** The configuration of a person's machine: every host, its resolver, and nothing but the environment's addresses. */
import { expect, test } from "vitest";
import { peerConfig } from "./peer-config.ts";

const way = (n: number) => ({
  ...{ name: `h${n}`, publicKey: `key${n}`, endpoint: `203.0.113.${n}:21000` },
  ...{ slice: `10.128.${n}.0/24`, resolver: `10.128.${n}.1` },
});

test("an interface and a peer per host", () => {
  expect(peerConfig("10.128.31.2", "secret", [way(1), way(2)]).split("\n")).toEqual([
    ...["[Interface]", "PrivateKey = secret", "Address = 10.128.31.2/32"],
    ...["DNS = 10.128.1.1, 10.128.2.1, internal", "MTU = 1380", ""],
    ...["[Peer]", "# h1", "PublicKey = key1", "Endpoint = 203.0.113.1:21000", "AllowedIPs = 10.128.1.0/24"],
    ...["PersistentKeepalive = 25", ""],
    ...["[Peer]", "# h2", "PublicKey = key2", "Endpoint = 203.0.113.2:21000", "AllowedIPs = 10.128.2.0/24"],
    "PersistentKeepalive = 25",
  ]);
});

test("a key that is not here is no line of the file", () => {
  const text = peerConfig("10.128.31.2", null, []);
  expect(text).not.toMatch(/^PrivateKey/m);
  expect(text).not.toContain("DNS");
});
