import { MIB } from "@berth/shared/domain/resources.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { expect, test } from "vitest";
import { BatchedTunnels } from "./batched-tunnels.ts";
import type { TunnelKernel } from "./shell/tunnel-process.ts";

/** One host with its mesh and a tunnel of an environment. */
function host(given: { batched?: readonly string[]; fails?: boolean } = {}) {
  const bytes = new Map([
    ["wm-pod", 0],
    ["wb-a", 0],
    ["eth0", 0],
  ]);
  const processes = ["wm-pod", "wb-a"].map((name, i) => ({ pid: 100 + i, name }));
  const batched = new Set(given.batched);
  const told: string[] = [];
  let [nowMs, looks] = [0, 0];
  const kernel: TunnelKernel = {
    totals: async () =>
      `IpExt: InOctets OutOctets\nIpExt: ${[...bytes.values()].reduce((a, b) => a + b)} 0\n`,
    counters: async () => {
      looks += 1;
      return `\n\n${[...bytes].map(([name, count]) => `${name}: ${count}${" 0".repeat(15)}\n`).join("")}`;
    },
    processes: async () => processes,
    isBatch: async ({ name }) => batched.has(name),
    setBatch: async ({ name }, isBatch) => {
      told.push(`${name} ${isBatch ? "batch" : "other"}`);
      if (given.fails) throw new Error("Operation not permitted");
      if (isBatch) batched.add(name);
      else batched.delete(name);
    },
  };
  const desired = { mesh: { name: "wm-pod" }, networks: [{ tunnel: { name: "wb-a" } }] } as never;
  const tunnels = new BatchedTunnels({
    desired: () => desired,
    clock: { monotonicMs: () => nowMs },
    log: silentLog,
    kernel,
  });
  const second = async (name: string, mib: number): Promise<void> => {
    nowMs += 1000;
    bytes.set(name, (bytes.get(name) ?? 0) + mib * MIB);
    await tunnels.look();
  };
  return { second, told, batched, looks: () => looks };
}

test("a tunnel that carries much is scheduled as a batch, and as usual when that is over", async () => {
  const { second, told } = host();
  await second("wb-a", 0);
  await second("wb-a", 100);
  await second("wb-a", 100);
  expect(told).toEqual(["wb-a batch"]);
  for (let i = 0; i < 6; i += 1) await second("wm-pod", 1);
  expect(told).toEqual(["wb-a batch", "wb-a other"]);
});

test("a host that carries little reads its total alone, and finds the first tunnel that carries much", async () => {
  const { second, told, looks } = host();
  for (let i = 0; i < 10; i += 1) await second("wb-a", 1);
  expect(looks()).toBe(1);
  for (let i = 0; i < 2; i += 1) await second("wb-a", 100);
  expect(told).toEqual(["wb-a batch"]);
});

test("what else the host carries is nobody's tunnel", async () => {
  const { second, told } = host();
  for (let i = 0; i < 3; i += 1) await second("eth0", 500);
  expect(told).toEqual([]);
});

test("what a former process of the agent scheduled is found, and ends in time", async () => {
  const { second, told, batched } = host({ batched: ["wm-pod"] });
  for (let i = 0; i < 7; i += 1) await second("wb-a", 1);
  expect(told).toEqual(["wm-pod other"]);
  expect(batched.size).toBe(0);
});

test("a kernel that refuses is asked once, and the tunnel goes on as it is", async () => {
  const { second, told } = host({ fails: true });
  for (let i = 0; i < 4; i += 1) await second("wb-a", 100);
  expect(told).toEqual(["wb-a batch"]);
});
