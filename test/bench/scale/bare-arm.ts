/**
 * The floors: so many containers at once per engine, and nothing else.
 *
 *   docker run   `docker run --detach`, the client program, once per container
 *   API          create and start by the Engine's API: less work, because no client program is started
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { z } from "zod";
import { dockerClient } from "../kit/docker-client.ts";
import { type Arm, limits, type Site } from "./arm.ts";
import { unlessAbsent } from "./engine.ts";

const label = "berth.bench=scale";
const created = z.object({ Id: z.string().min(1) });
const removalsAtOnce = 4;
const runTimeoutMs = 60_000;

/** @returns the id of a container that was just started */
type Starter = (site: Site, image: string) => Promise<string>;

export const bareStarters = { "docker run": runByClient, API: runByApi } satisfies Record<string, Starter>;
export type BareWay = keyof typeof bareStarters;

/** One each: what is looked at there is of one arm. */
const networks: Readonly<Record<BareWay, string>> = {
  "docker run": "bench-scale-run",
  API: "bench-scale-api",
};

export async function bareNetworksUp(sites: readonly Site[]): Promise<void> {
  for (const { engine } of sites)
    for (const Name of Object.values(networks))
      await engine.tell("POST", "/networks/create", { Name, Driver: "bridge", CheckDuplicate: true });
}

/** @param atOnce containers under way per engine */
export function bareArm(sites: readonly Site[], image: string, way: BareWay, atOnce: number): Arm {
  const start: Starter = bareStarters[way];
  const running = new Map<Site, string[]>(sites.map((site) => [site, []]));
  return {
    name: `${way}, ${atOnce} at once`,
    network: networks[way],
    scale: async (replicas) => {
      const shares = shareOut(replicas, sites.length);
      const work = sites.map(async (site, i) => {
        const ids = running.get(site) ?? [];
        const surplus = ids.splice(shares[i] ?? 0);
        await atMost(removalsAtOnce, surplus, (id) => remove(site, id));
        const missing = Array.from({ length: (shares[i] ?? 0) - ids.length }, () => site);
        await atMost(atOnce, missing, async () => {
          ids.push(await start(site, image));
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

/** The image's name has to be on the engine. */
async function runByClient({ dockerSocket }: Site, image: string): Promise<string> {
  const flags = {
    ...{ label, network: networks["docker run"], cpus: String(limits.cpuMillis / 1000) },
    ...{ memory: String(limits.memoryBytes), "memory-swap": String(limits.memoryBytes) },
  };
  const words = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  const args = ["--host", `unix://${dockerSocket}`, "run", "--detach", ...words, image];
  const { stdout } = await promisify(execFile)(dockerClient, args, { timeout: runTimeoutMs });
  return stdout.trim();
}

async function runByApi({ engine }: Site, image: string): Promise<string> {
  const { Id } = await engine.ask(created, "POST", "/containers/create", {
    Image: image,
    Labels: Object.fromEntries([label.split("=")]),
    HostConfig: {
      ...{ Memory: limits.memoryBytes, MemorySwap: limits.memoryBytes },
      ...{ NanoCpus: limits.cpuMillis * 1_000_000, NetworkMode: networks.API },
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
