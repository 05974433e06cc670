/** Real resolvers in a network namespace, asked from outside of it while names and ready slots change. */
import { execFile } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Resolvers, type ResolverView } from "./resolvers.ts";

const namespace = `btr${process.pid}`;
const number = (process.pid % 200) + 20;
const [outside, gateway] = [`10.98.${number}.1`, `10.98.${number}.2`];
const enter = ["ip", "netns", "exec", namespace];
let folder: string;

const run = (command: string) => promisify(execFile)("sh", ["-ec", command]);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "berth-resolvers-"));
  await run(`chmod 755 ${folder}
    ip netns add ${namespace}
    ip link add ${namespace} type veth peer name inside netns ${namespace}
    ip address add ${outside}/30 dev ${namespace}; ip link set ${namespace} up
    ip -n ${namespace} link set lo up
    ip -n ${namespace} address add ${gateway}/30 dev inside; ip -n ${namespace} link set inside up`);
});

afterAll(async () => {
  await new Resolvers(folder, null, enter).keepOnly(new Set());
  await run(`ip netns delete ${namespace}`);
  await rm(folder, { recursive: true });
});

function view(slots: readonly number[]): ResolverView {
  const names = slots.map((slot) => ({
    ...{ service: "shop", process: "web", slot, address: `10.64.0.${slot + 1}` },
    ports: [{ name: "http", port: 8080 }],
  }));
  return { gateway, names, links: [], isAskingOutside: false };
}

function asker(): Resolver {
  const resolver = new Resolver({ timeout: 5000, tries: 1 });
  resolver.setServers([gateway]);
  return resolver;
}

const slotsOf = async (): Promise<string[]> =>
  (await asker().resolveSrv("_http._tcp.shop.internal")).map(({ name }) => name).sort();

test("no question is unanswered while the set of ready slots changes, and the answers follow it", async () => {
  const resolvers = new Resolvers(folder, null, enter);
  expect(await resolvers.ensure("one", view([1]))).toBe("started");
  let asked = 0;
  let asking = true;
  const asks = (async () => {
    while (asking) {
      // A new socket each, so that no answer is an old one's.
      await Promise.all([asker().resolve4("shop.internal"), slotsOf()]);
      asked += 1;
    }
  })();
  const stopped = asks.catch(() => undefined);
  try {
    for (const slots of [[1, 2], [2, 3], [3]]) {
      expect(await resolvers.ensure("one", view(slots))).toBe("told");
      const names = slots.map((slot) => `${slot}.web.shop.internal`);
      await expect.poll(slotsOf, { timeout: 20_000 }).toEqual(names);
      await wait(50);
      expect(await resolvers.ensure("one", view(slots))).toBe("nothing");
      // The process that is not asked any more goes with the next look.
      expect(await resolvers.look("one", view(slots))).toBe("nothing");
    }
  } finally {
    asking = false;
    await stopped;
  }
  await asks;
  expect(asked).toBeGreaterThan(3);
  const { stdout } = await run(`ip netns pids ${namespace} | wc -l`);
  expect(Number(stdout)).toBe(2);
});

test("records that only come wait for more of them, addresses do not", async () => {
  const resolvers = new Resolvers(folder, null, enter);
  const pids = async () => (await run(`ip netns pids ${namespace}`)).stdout;
  await resolvers.ensure("one", view([4]));
  const before = await pids();
  for (const slots of [
    [4, 5],
    [4, 5, 6],
  ])
    expect(await resolvers.ensure("one", view(slots))).toBe("told");
  const addresses = () => asker().resolve4("6.web.shop.internal");
  await expect.poll(() => addresses().catch(String), { timeout: 1000, interval: 10 }).toEqual(["10.64.0.7"]);
  expect(await pids()).toBe(before);
  const names = [4, 5, 6].map((slot) => `${slot}.web.shop.internal`);
  await expect.poll(slotsOf, { timeout: 20_000 }).toEqual(names);
  // One that goes is gone at once.
  await resolvers.ensure("one", view([4, 5]));
  await expect.poll(slotsOf, { timeout: 1000 }).toEqual(names.slice(0, 2));
});

test("an environment without a port has no second process; one that is gone has none", async () => {
  const resolvers = new Resolvers(folder, null, enter);
  await resolvers.ensure("one", view([]));
  await resolvers.look("one", view([]));
  await expect(slotsOf()).rejects.toMatchObject({ code: "ENOTFOUND" });
  expect(Number((await run(`ip netns pids ${namespace} | wc -l`)).stdout)).toBe(1);
  await resolvers.keepOnly(new Set());
  expect(Number((await run(`ip netns pids ${namespace} | wc -l`)).stdout)).toBe(0);
});

test("a look starts what died, and nothing of an environment that was left", async () => {
  const resolvers = new Resolvers(folder, null, enter);
  await resolvers.ensure("one", view([1]));
  const pids = async () => (await run(`ip netns pids ${namespace}`)).stdout.split("\n").filter(Boolean);
  for (const pid of await pids()) {
    process.kill(Number(pid), "SIGKILL");
    await expect.poll(pids).not.toContain(pid);
    expect(await resolvers.look("one", view([1]))).not.toBe("nothing");
    expect(await pids()).toHaveLength(2);
    await expect.poll(slotsOf, { timeout: 20_000 }).toEqual(["1.web.shop.internal"]);
  }
  await resolvers.keepOnly(new Set());
  expect(await resolvers.look("one", view([1]))).toBe("nothing");
  expect(await pids()).toHaveLength(0);
});
