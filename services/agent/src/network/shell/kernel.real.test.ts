/** Our packet filter in a network namespace of its own, which somebody else changes too. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { silentLog } from "@berth/shared/kit/log.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type NftTable, nftMap, nftSet } from "../core/nft-table.ts";
import { Kernel } from "./kernel.ts";

const namespace = `btk${process.pid}`;
const run = async (...words: string[]): Promise<string> =>
  (await promisify(execFile)("ip", ["netns", "exec", namespace, ...words])).stdout;
const tableWith = (...addresses: string[]): NftTable => ({
  family: "inet",
  name: "berth",
  sets: [
    nftSet("nodes", "ipv4_addr", addresses),
    nftSet(
      "reach",
      "ifname . ipv4_addr; flags interval",
      addresses.map((one) => `"bn-a" . ${one.replace(/\d+$/, "0/24")}`),
    ),
    nftMap(
      "sources",
      "ipv4_addr : ipv4_addr; flags interval",
      addresses.map((one) => `${one.replace(/\d+$/, "0/24")} : 10.9.9.9`),
    ),
  ],
  chains: `  chain forward {
    type filter hook forward priority -10; policy accept;
    ip daddr @nodes drop
    iifname . ip daddr @reach drop
  }
`,
});
const shown = (): Promise<string> => run("nft", "list", "table", "inet", "berth").catch(() => "");

beforeAll(() => promisify(execFile)("ip", ["netns", "add", namespace]));
afterAll(() => promisify(execFile)("ip", ["netns", "delete", namespace]));

const open = (): Kernel => new Kernel(silentLog, ["ip", "netns", "exec", namespace]);
const look = async (kernel: Kernel) => (await kernel.look()).filter.table;

test("a table that somebody flushed, or changed, is put back by what a look saw", async () => {
  const kernel = open();
  const table = tableWith("10.0.0.1");
  await kernel.ensureTable(table, await look(kernel));
  const whole = await shown();
  expect(whole).toContain("10.0.0.1");
  for (const harm of [
    "delete table inet berth",
    "flush chain inet berth forward",
    "flush set inet berth nodes",
  ]) {
    await run("nft", ...harm.split(" "));
    const seen = await look(kernel);
    expect(await shown()).not.toBe(whole);
    await kernel.ensureTable(table, seen);
    expect(await shown()).toBe(whole);
  }
});

test("a change sends what differs, and the next look finds what somebody did at the same time", async () => {
  const kernel = open();
  await kernel.ensureTable(tableWith("10.0.1.1", "10.0.2.1"), await look(kernel));
  const handlesNow = async () =>
    (await run("nft", "-a", "list", "table", "inet", "berth")).match(/handle \d+/g);
  const handles = await handlesNow();
  const table = tableWith("10.0.2.1", "10.0.3.1", "10.0.4.1");
  await kernel.changeTable(table);
  await kernel.ensureTable(table, await look(kernel));
  const whole = await shown();
  expect(whole).not.toContain("10.0.1.1");
  // The same chains and rules stand: nothing was made anew, also not by the look, which found what it expected.
  expect(await handlesNow()).toEqual(handles);
  await kernel.changeTable(tableWith("10.0.2.1"));
  await run("nft", "flush", "chain", "inet", "berth", "forward");
  await kernel.changeTable(table);
  await kernel.ensureTable(table, await look(kernel));
  expect(await shown()).toBe(whole);
  // A change that the kernel refuses, because the table is not as it was left, is made whole.
  await run("nft", "delete", "table", "inet", "berth");
  await kernel.changeTable(tableWith("10.0.0.5"));
  expect(await shown()).toContain("10.0.0.5");
});

test("a look that a change has overtaken says nothing; the next one finds what was flushed meanwhile", async () => {
  const kernel = open();
  await kernel.ensureTable(tableWith("10.0.0.1"), await look(kernel));
  const before = await look(kernel);
  const table = tableWith("10.0.0.2");
  await kernel.changeTable(table);
  await run("nft", "flush", "chain", "inet", "berth", "forward");
  // It saw the rules of before the change, which are no reason to judge those of after it.
  await kernel.ensureTable(table, before);
  expect(await shown()).not.toContain("drop");
  await kernel.ensureTable(table, await look(kernel));
  expect(await shown()).toContain("drop");
  expect(await shown()).toContain("10.0.0.2");
});

test("chains and jumps that are missing in iptables are put back", async () => {
  const kernel = open();
  const chains = async () => (await kernel.look()).filter.chains.replaceAll(/^#.*\n/gm, "");
  await kernel.ensureChains(await chains());
  const whole = await chains();
  expect(whole).toContain("-A FORWARD -j BERTH");
  await run("iptables", "-F", "FORWARD");
  await run("iptables", "-F", "BERTH-IN");
  await kernel.ensureChains(await chains());
  expect(await chains()).toBe(whole);
});

test("a machine that forwarded nothing forwards what is ours, and nothing else", async () => {
  const forwarding = "/proc/sys/net/ipv4/ip_forward";
  const policy = async () => /^:FORWARD (\w+)/m.exec((await open().look()).filter.chains)?.[1];
  await run("iptables", "-P", "FORWARD", "ACCEPT");
  await run("sh", "-c", `echo 1 > ${forwarding}`);
  expect(await policy()).toBe("ACCEPT");
  await run("sh", "-c", `echo 0 > ${forwarding}`);
  await open().look();
  expect(await policy()).toBe("DROP");
  expect((await run("cat", forwarding)).trim()).toBe("1");
});
