/** The record is all that `lab down` goes by: it must come back as it was, and refuse what it does not understand. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { hostNames, labNames } from "./lab-names.ts";
import {
  changeRecord,
  deleteRecord,
  findHost,
  type LabRecord,
  labFolder,
  readRecord,
  writeRecord,
} from "./lab-record.ts";

const interfaceNameLimit = 15;

const record: LabRecord = {
  version: 1,
  index: 0,
  rootfs: "/cache/rootfs",
  checkout: "/checkout",
  madeNetnsMount: true,
  withPod: false,
  hosts: [{ name: "h1", number: 1, boot: { argv: ["/usr/sbin/dockerd"], env: { A: "b" } }, cut: "in" }],
  routes: { "10.210.1.0/24": "h1" },
};

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "lab-record-"));
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

test("a record comes back as it was written, and a deleted one is none", () => {
  expect(readRecord(stateDir)).toBeNull();
  writeRecord(stateDir, record);
  expect(readRecord(stateDir)).toEqual(record);
  deleteRecord(stateDir);
  expect(readRecord(stateDir)).toBeNull();
});

test("changes made at once are all kept", async () => {
  writeRecord(stateDir, record);
  const add = async (cidr: string): Promise<void> => {
    changeRecord(stateDir, (now) => ({ ...now, routes: { ...now.routes, [cidr]: "h1" } }));
  };
  await Promise.all(["10.210.2.0/24", "10.210.3.0/24", "10.210.4.0/24"].map(add));
  expect(Object.keys(readRecord(stateDir)?.routes ?? {})).toHaveLength(4);
});

test.each([
  ["another version", { ...record, version: 2 }],
  ["a host name that is a path", { ...record, hosts: [{ ...record.hosts[0], name: "../x" }] }],
  ["an index that names another network", { ...record, index: 100 }],
])("a record with %s is refused: nothing is guessed", (_what, broken) => {
  mkdirSync(labFolder(stateDir), { recursive: true });
  writeFileSync(join(labFolder(stateDir), "lab.json"), JSON.stringify(broken));
  expect(() => readRecord(stateDir)).toThrow(/is not a lab's record/);
});

test("an unknown host is refused with the names there are", () => {
  expect(() => findHost(record, "h7")).toThrow("the lab has no host h7; it has h1");
  expect(() => changeRecord(stateDir, (now) => now)).toThrow(/has no lab/);
});

test("no two labs or hosts share a name, and interface names fit", () => {
  const seen = new Set<string>();
  for (let index = 0; index <= 99; index += 1) {
    seen.add(labNames(stateDir, index).bridge);
    for (let number = 1; number <= 99; number += 1) {
      const names = hostNames(stateDir, index, number);
      expect(names.veth.length).toBeLessThanOrEqual(interfaceNameLimit);
      for (const name of [names.veth, names.netns, names.mac, names.address, names.cgroup]) seen.add(name);
    }
  }
  expect(seen.size).toBe(100 + 100 * 99 * 5);
});
