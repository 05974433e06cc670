import { silentLog } from "@berth/shared/kit/log.ts";
import { expect, test } from "vitest";
import { wholeText } from "./core/nft-table.ts";
import { PortGuard, type SeenContainer } from "./port-guard.ts";

const seen = (n: number): SeenContainer => ({
  pid: n,
  address: `10.128.0.${n}`,
  mac: `02:00:00:00:00:0${n}`,
  device: null,
});

function guarded(containers: Record<string, SeenContainer | null>) {
  const said: string[] = [];
  const guard = new PortGuard({
    inspect: async (id) => containers[id] ?? null,
    portOf: async (pid) => (pid === 9 ? null : `veth${pid}`),
    ensureTable: async (table) => void said.push(wholeText(table)),
    changeTable: async (table) => void said.push(wholeText(table)),
    log: silentLog,
  });
  return { guard, said };
}

test("a container that was just started is bound at once", async () => {
  const { guard, said } = guarded({});
  await guard.look(new Set(), ["10.128.0.1"]);
  await guard.note("a", seen(2));
  expect(said.at(-1)).toContain('"veth2" . 02:00:00:00:00:02 . 10.128.0.2');
  expect(said.at(-1)).toContain("set gateways { type ipv4_addr; elements = { 10.128.0.1 }; }");
});

test("where the agent laid the cable, its name is known", async () => {
  const { guard, said } = guarded({});
  await guard.look(new Set(), []);
  await guard.note("a", { ...seen(9), device: "vethab" });
  expect(said.at(-1)).toContain('"vethab" . 02:00:00:00:00:09 . 10.128.0.9');
});

test("many that start at once go with few commands", async () => {
  const { guard, said } = guarded({});
  await guard.look(new Set(), []);
  await Promise.all([2, 3, 4, 5].map((n) => guard.note(`c${n}`, seen(n))));
  expect(said.length).toBeLessThanOrEqual(3);
  expect(said.at(-1)).toMatch(/"veth2" .*"veth3" .*"veth4" .*"veth5" /);
});

test("before the first look nothing is changed: what was guarded by the agent before stays so", async () => {
  const { guard, said } = guarded({});
  await guard.note("a", seen(2));
  expect(said).toEqual([]);
  await guard.look(new Set(["a"]), []);
  expect(said.at(-1)).toContain("veth2");
});

test("a look finds what it did not see start, and forgets what ended", async () => {
  const { guard, said } = guarded({ a: seen(2), b: seen(3) });
  await guard.look(new Set(["a", "b"]), ["10.128.0.1"]);
  expect(said.at(-1)).toMatch(/"veth2" .*"veth3"/);
  await guard.look(new Set(["b"]), ["10.128.0.1"]);
  expect(said.at(-1)).not.toContain("veth2");
});

test("a container whose port cannot be found is left alone, not cut off", async () => {
  const { guard, said } = guarded({ a: seen(9), b: null });
  await guard.note("a", seen(9));
  await guard.look(new Set(["a", "b"]), []);
  expect(said).toEqual([expect.not.stringContaining("10.128.0.9")]);
});
