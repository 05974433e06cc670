/** Our packet filter in a network namespace of its own, which somebody else changes too. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { silentLog } from "@berth/shared/kit/log.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Kernel } from "./kernel.ts";

const namespace = `btk${process.pid}`;
const run = async (...words: string[]): Promise<string> =>
  (await promisify(execFile)("ip", ["netns", "exec", namespace, ...words])).stdout;
const rulesWith = (address: string): string => `table inet berth {}
delete table inet berth
table inet berth {
  set nodes { type ipv4_addr; elements = { ${address} } }
  chain forward { type filter hook forward priority -10; policy accept; ip daddr @nodes drop; }
}
`;
const shown = (): Promise<string> => run("nft", "list", "table", "inet", "berth").catch(() => "");

beforeAll(() => promisify(execFile)("ip", ["netns", "add", namespace]));
afterAll(() => promisify(execFile)("ip", ["netns", "delete", namespace]));

const open = (): Kernel => new Kernel(silentLog, ["ip", "netns", "exec", namespace]);
const look = async (kernel: Kernel) => (await kernel.look()).filter.table;

test("a table that somebody flushed, or changed, is put back by what a look saw", async () => {
  const kernel = open();
  const rules = rulesWith("10.0.0.1");
  await kernel.ensureTable("inet", rules, await look(kernel));
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
    await kernel.ensureTable("inet", rules, seen);
    expect(await shown()).toBe(whole);
  }
});

test("a look that a change has overtaken says nothing; the next one finds what was flushed meanwhile", async () => {
  const kernel = open();
  await kernel.ensureTable("inet", rulesWith("10.0.0.1"), await look(kernel));
  const before = await look(kernel);
  const rules = rulesWith("10.0.0.2");
  await kernel.changeTable("inet", rules);
  await run("nft", "flush", "chain", "inet", "berth", "forward");
  // It saw the rules of before the change, which are no reason to judge those of after it.
  await kernel.ensureTable("inet", rules, before);
  expect(await shown()).not.toContain("drop");
  await kernel.ensureTable("inet", rules, await look(kernel));
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
