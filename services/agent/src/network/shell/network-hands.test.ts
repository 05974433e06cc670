/** Looks of the hands beside runs: who waits for whom, and when a look is made again. The kernel here is a list of rules. */
import { silentLog } from "@berth/shared/kit/log.ts";
import { expect, test } from "vitest";
import type { NetworkStep } from "../core/plan-network.ts";
import type { KernelLook } from "./kernel.ts";
import { type HandsGiven, NetworkHands } from "./network-hands.ts";

/** A machine whose looks end when they are let, and whose steps may fail. */
function machine() {
  const rules = new Set<number>();
  const looks: (() => void)[] = [];
  const state = { isFailing: false, looksCount: 0 };
  const kernel = {
    look: async (): Promise<KernelLook> => {
      state.looksCount += 1;
      const rulePriorities = [...rules];
      await new Promise<void>((resolve) => looks.push(resolve));
      const filter = { table: { text: "", turn: 0 }, chains: "" };
      return { interfaces: [], routes: [], rulePriorities, filter };
    },
    run: async (lines: readonly { argv: readonly string[] }[]) => {
      if (state.isFailing) throw new Error("no");
      for (const { argv } of lines) {
        const [, , , verb, , priority] = argv;
        if (verb === "add") rules.add(Number(priority));
        else rules.delete(Number(priority));
      }
    },
  };
  const given = {
    kernel,
    engine: { networks: async () => [] },
    wireguard: { observe: async () => [] },
    quiet: { setPodCidr() {}, keepTunnels() {}, noteTunnel() {} },
    podId: "pod",
    nowMs: () => 0,
    log: silentLog,
  };
  const hands = new NetworkHands(given as unknown as HandsGiven);
  const endLooks = (): void => {
    for (const end of looks.splice(0)) end();
  };
  return { hands, rules, state, endLooks };
}

const add = (priority: number): NetworkStep => ({ kind: "add-rule", rule: { priority, words: [] } });

async function looked({ hands, endLooks }: ReturnType<typeof machine>) {
  const looking = hands.look();
  endLooks();
  return looking;
}

test("a change during a look waits for nothing, and is known when the look counts", async () => {
  const one = machine();
  await one.hands.take(await looked(one));
  const looking = one.hands.look();
  const { host, filter } = await one.hands.take(null);
  expect(filter).toBeNull();
  expect((await one.hands.carryOut([add(7)], host)).isWhole).toBe(true);
  one.endLooks();
  const taken = await one.hands.take(await looking);
  expect(taken.host.rulePriorities).toEqual([7]);
  expect(taken.filter).not.toBeNull();
  expect(one.state.looksCount).toBe(2);
});

test("what somebody else removed is found by a look beside changes", async () => {
  const one = machine();
  const { host } = await one.hands.take(await looked(one));
  await one.hands.carryOut([add(1), add(2)], host);
  one.rules.delete(1);
  const looking = one.hands.look();
  await one.hands.carryOut([add(3)], (await one.hands.take(null)).host);
  one.endLooks();
  expect((await one.hands.take(await looking)).host.rulePriorities).toEqual([2, 3]);
});

test("a look that a failed step spoiled is made again at once by the run that would have taken it", async () => {
  const one = machine();
  const { host } = await one.hands.take(await looked(one));
  const looking = one.hands.look();
  one.state.isFailing = true;
  expect((await one.hands.carryOut([add(1)], host)).isWhole).toBe(false);
  one.rules.add(5);
  one.endLooks();
  const spoiled = await looking;
  const taking = one.hands.take(spoiled);
  await expect.poll(() => one.state.looksCount).toBe(3);
  one.endLooks();
  const taken = await taking;
  expect(taken.host.rulePriorities).toEqual([5]);
  expect(taken.filter).not.toBeNull();
});
