/** What `wg` prints and reads. */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { WireguardKey } from "@berth/shared/contracts/network.ts";
import { newWireguardKeys } from "@berth/shared/kit/wireguard-keys.ts";
import { expect, test } from "vitest";
import { configText, parseDump, peersLine } from "./wireguard.ts";

test("a dump of two interfaces: peers belong to the one before them", () => {
  const dump = [
    "wb-a\tPRIV\tPUB\t21000\toff",
    "wb-a\tPEER\t(none)\t10.0.0.2:21000\t10.128.1.0/24,10.128.2.0/24\t1795204000\t10\t20\t20",
    "wb-b\tPRIV\tPUB2\t21001\toff",
    "wb-b\tPEER2\t(none)\t(none)\t(none)\t0\t0\t0\toff",
    "",
  ].join("\n");
  expect(parseDump(dump)).toEqual([
    {
      name: "wb-a",
      publicKey: "PUB",
      port: 21_000,
      peers: [
        {
          publicKey: "PEER",
          endpoint: "10.0.0.2:21000",
          allowedIps: ["10.128.1.0/24", "10.128.2.0/24"],
          keepsAlive: true,
          handshakeAtMs: 1_795_204_000_000,
          rxBytes: 10,
          txBytes: 20,
        },
      ],
    },
    {
      name: "wb-b",
      publicKey: "PUB2",
      port: 21_001,
      peers: [
        {
          publicKey: "PEER2",
          endpoint: null,
          allowedIps: [],
          keepsAlive: false,
          handshakeAtMs: 0,
          rxBytes: 0,
          txBytes: 0,
        },
      ],
    },
  ]);
});

test("a configuration names every peer with its slices", () => {
  const peer = {
    hostId: "h",
    publicKey: "PEER",
    nodeAddress: "10.0.0.2",
    port: 21_000,
    allowedIps: ["10.128.1.0/24"],
    ownSubnet: "10.128.1.0/24",
  };
  const tunnel = {
    name: "wb-a",
    privateKey: "PRIV",
    publicKey: "PUB",
    port: 21_000,
    mtu: 1420,
    address: "10.128.0.1",
    peers: [peer],
    people: [{ publicKey: "PERSON", address: "10.128.31.2" }],
    keepsAlive: null,
  };
  const text = configText(tunnel);
  expect(text).toContain("[Interface]\nPrivateKey = PRIV\nListenPort = 21000\n");
  expect(text).toContain("[Peer]\nPublicKey = PEER\nEndpoint = 10.0.0.2:21000\nAllowedIPs = 10.128.1.0/24\n");
  // A person comes from wherever they are.
  expect(text).toContain("[Peer]\nPublicKey = PERSON\nAllowedIPs = 10.128.31.2/32\n");
  expect(text.match(/PersistentKeepalive = .*/g)).toEqual(["PersistentKeepalive = 20"]);
  expect(configText({ ...tunnel, keepsAlive: false })).toContain("PersistentKeepalive = off\n");
  const { argv } = peersLine(tunnel, { peers: [peer], people: tunnel.people, removed: ["OLD"] });
  expect(argv.join(" ")).toBe(
    "wg set wb-a peer OLD remove peer PEER endpoint 10.0.0.2:21000 persistent-keepalive 20 allowed-ips " +
      "10.128.1.0/24 peer PERSON allowed-ips 10.128.31.2/32",
  );
});

test("our keys are X25519 keys, and the public one is the private one's", () => {
  const { privateKey, publicKey } = newWireguardKeys();
  expect(WireguardKey.safeParse(publicKey).success).toBe(true);
  const der = Buffer.concat([
    Buffer.from("302e020100300506032b656e04220420", "hex"),
    Buffer.from(privateKey, "base64"),
  ]);
  const made = createPublicKey(createPrivateKey({ key: der, format: "der", type: "pkcs8" })).export({
    format: "jwk",
  });
  expect(Buffer.from(made.x ?? "", "base64url").toString("base64")).toBe(publicKey);
});
