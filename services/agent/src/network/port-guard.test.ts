import { silentLog } from "@berth/shared/kit/log.ts";
import { expect, test } from "vitest";
import { PortGuard, type SeenContainer } from "./port-guard.ts";

const seen = (n: number): SeenContainer => ({
  pid: n,
  address: `10.128.0.${n}`,
  mac: `02:00:00:00:00:0${n}`,
});

function guarded(containers: Record<string, SeenContainer | null>) {
  const said: string[] = [];
  const guard = new PortGuard({
    inspect: async (id) => containers[id] ?? null,
    portOf: async (pid) => (pid === 9 ? null : `veth${pid}`),
    applyTable: async (rules) => void said.push(rules),
    addElements: async (text) => void said.push(text),
    log: silentLog,
  });
  return { guard, said };
}

test("a container that was just started is bound at once", async () => {
  const { guard, said } = guarded({});
  await guard.note("a", seen(2));
  expect(said).toEqual([expect.stringContaining('"veth2" . 02:00:00:00:00:02 . 10.128.0.2')]);
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
