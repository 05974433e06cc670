/**
 * The floor: create and start by the Engine's API, so many at once per engine, and nothing else. This is less work
 * than `docker run`, which starts a client program per container.
 */
import { z } from "zod";
import { type Arm, limits, type Site } from "./arm.ts";
import { unlessAbsent } from "./engine.ts";

const network = "bench-scale-bare";
const label = "berth.bench=scale";
const created = z.object({ Id: z.string().min(1) });
const removalsAtOnce = 4;

export async function bareNetworkUp(sites: readonly Site[]): Promise<void> {
  for (const { engine } of sites)
    await engine.tell("POST", "/networks/create", { Name: network, Driver: "bridge", CheckDuplicate: true });
}

/** @param atOnce containers under way per engine */
export function bareArm(sites: readonly Site[], image: string, atOnce: number): Arm {
  const running = new Map<Site, string[]>(sites.map((site) => [site, []]));
  return {
    name: `bare, ${atOnce} at once`,
    network,
    scale: async (replicas) => {
      const shares = shareOut(replicas, sites.length);
      const work = sites.map(async (site, i) => {
        const ids = running.get(site) ?? [];
        const surplus = ids.splice(shares[i] ?? 0);
        await atMost(removalsAtOnce, surplus, (id) => remove(site, id));
        const missing = Array.from({ length: (shares[i] ?? 0) - ids.length }, () => site);
        await atMost(atOnce, missing, async () => {
          ids.push(await run(site, image));
        });
      });
      await Promise.all(work);
    },
    close: async () => {
      for (const [site, ids] of running)
        await atMost(removalsAtOnce, ids.splice(0), (id) => remove(site, id));
    },
  };
}

async function run({ engine }: Site, image: string): Promise<string> {
  const { Id } = await engine.ask(created, "POST", "/containers/create", {
    Image: image,
    Labels: Object.fromEntries([label.split("=")]),
    HostConfig: {
      ...{ Memory: limits.memoryBytes, MemorySwap: limits.memoryBytes },
      ...{ NanoCpus: limits.cpuMillis * 1_000_000, NetworkMode: network },
    },
  });
  await engine.tell("POST", `/containers/${Id}/start`);
  return Id;
}

async function remove({ engine }: Site, id: string): Promise<void> {
  await unlessAbsent(engine.tell("DELETE", `/containers/${id}?force=true&v=true`));
}

/** As even as can be, the first ones getting what is left over: 4 over 3 is 2, 1, 1. */
export function shareOut(count: number, parts: number): number[] {
  return Array.from({ length: parts }, (_, i) => Math.floor(count / parts) + (i < count % parts ? 1 : 0));
}

async function atMost<T>(
  limit: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: limit }, worker));
}
