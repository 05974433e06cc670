/** Which tunnels are asked when. */
import { expect, test } from "vitest";
import type { ObservedTunnel } from "../core/plan-network.ts";
import { SeenTunnels } from "./seen-tunnels.ts";

function machine(names: readonly string[]) {
  const ports = new Map(names.map((name) => [name, 1]));
  const asked: string[] = [];
  const state = { nowMs: 0 };
  const tunnel = (name: string): ObservedTunnel | null => {
    const port = ports.get(name);
    return port === undefined ? null : { name, publicKey: "", port, peers: [] };
  };
  const seen = new SeenTunnels(
    {
      observe: async (all) => {
        asked.push("all");
        return all.flatMap((name) => tunnel(name) ?? []);
      },
      observeOne: async (name) => {
        asked.push(name);
        return tunnel(name);
      },
    },
    () => state.nowMs,
  );
  /** What a look finds, and whom it asked for that. */
  const look = async (there: readonly string[]) => {
    asked.length = 0;
    const found = await seen.observe(there);
    return { found: found.map(({ name, port }) => `${name} ${port}`), asked: [...asked] };
  };
  return { seen, ports, state, look };
}

test("all are asked every ten seconds, and nobody between", async () => {
  const { ports, state, look } = machine(["a", "b"]);
  expect(await look(["a", "b"])).toEqual({ found: ["a 1", "b 1"], asked: ["all"] });
  ports.set("a", 2);
  state.nowMs = 9999;
  expect(await look(["a", "b"])).toEqual({ found: ["a 1", "b 1"], asked: [] });
  state.nowMs = 10_000;
  expect(await look(["a", "b"])).toEqual({ found: ["a 2", "b 1"], asked: ["all"] });
});

test("one that is new, was changed or did not answer is asked alone, each time until it answers", async () => {
  const { seen, ports, look } = machine(["a"]);
  await look(["a"]);
  ports.set("a", 2);
  seen.noteChanged("a");
  expect(await look(["a", "new"])).toEqual({ found: ["a 2"], asked: ["a", "new"] });
  ports.set("new", 3);
  expect(await look(["a", "new"])).toEqual({ found: ["a 2", "new 3"], asked: ["new"] });
  expect(await look(["a", "new"])).toEqual({ found: ["a 2", "new 3"], asked: [] });
});

test("one whose interface went is not told of, and is asked again when it is back", async () => {
  const { ports, look } = machine(["a", "b"]);
  await look(["a", "b"]);
  expect(await look(["b"])).toEqual({ found: ["b 1"], asked: [] });
  ports.set("a", 5);
  expect(await look(["a", "b"])).toEqual({ found: ["a 5", "b 1"], asked: ["a"] });
});

test("many new ones are asked by one question", async () => {
  const many = Array.from({ length: 9 }, (_, i) => `t${i}`);
  const { look } = machine(["a", ...many]);
  await look(["a"]);
  expect((await look(["a", ...many])).asked).toEqual(["all"]);
});
