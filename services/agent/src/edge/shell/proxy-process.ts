/**
 * The running proxy: what it holds, and how it is told to load its files again.
 *
 * A reload is SIGUSR2 to the master: a new worker takes over the listening sockets, the old one ends its
 * connections. The master is the worker's parent; it is signalled only when both are named haproxy, so a
 * recycled process id is never hit.
 */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { parseTraffic, type SlotTraffic } from "../core/edge-traffic.ts";
import type { ObservedImage } from "../core/plan-steps.ts";
import {
  type MapFiles,
  type ProcessInfo,
  parseInfo,
  parseMap,
  parseServersState,
  parseSources,
} from "../core/runtime-text.ts";
import type { RuntimeClient } from "./runtime-client.ts";

const RELOAD_TIMEOUT_MS = 20_000;
const POLL_MS = 20;

export async function observeProcess(client: RuntimeClient): Promise<ProcessInfo> {
  return parseInfo(await client.ask("show info"));
}

export function imageQuestions({ mapFile, sourcesFile, namesFile }: MapFiles): string[] {
  const maps = [mapFile, sourcesFile, ...(namesFile === null ? [] : [namesFile])];
  return ["show servers state", ...maps.map((file) => `show map ${file}`)];
}

/** @param answers to `imageQuestions` */
export function imageOf([state = "", map = "", sources = "", names = ""]: readonly string[]): ObservedImage {
  return {
    hosts: parseMap(map),
    servers: parseServersState(state),
    sources: parseSources(sources),
    names: parseMap(names),
  };
}

export async function observeImage(client: RuntimeClient, files: MapFiles): Promise<ObservedImage> {
  return imageOf(await client.askAll(imageQuestions(files)));
}

/** @param slots null for all */
export async function observeTraffic(
  client: RuntimeClient,
  slots: readonly string[] | null,
): Promise<Map<string, SlotTraffic>> {
  if (slots?.length === 0) return new Map();
  const named = slots?.map((slot) => `show stat ${slot} 2 -1`).join(";");
  return parseTraffic(await client.ask(named ?? "show stat -1 2 -1"));
}

/** Of a proxy that is a process of this host's own. */
export async function signalMaster(worker: number): Promise<void> {
  process.kill(await masterOf(worker), "SIGUSR2");
}

/** @returns once a worker with the wanted configuration answers; @throws Error after the deadline */
export async function reloadProxy(
  client: RuntimeClient,
  before: ProcessInfo,
  configId: string,
  signal: (worker: number) => Promise<void> = signalMaster,
): Promise<ProcessInfo> {
  await signal(before.pid);
  const deadline = performance.now() + RELOAD_TIMEOUT_MS;
  while (performance.now() < deadline) {
    await sleep(POLL_MS);
    const now = await observeProcess(client).catch(() => null);
    if (now !== null && now.pid !== before.pid && now.description === configId) return now;
  }
  throw new Error(
    `the edge's proxy did not take its new configuration within ${RELOAD_TIMEOUT_MS} ms: it runs ` +
      `${before.description || "a foreign one"}, wanted is ${configId}; its log says why`,
  );
}

async function masterOf(worker: number): Promise<number> {
  const { name, parent } = await processOf(worker);
  const master = await processOf(parent);
  if (name !== "haproxy" || master.name !== "haproxy") {
    throw new Error(
      `process ${worker} is ${name} under ${master.name}: the edge's proxy must run in master-worker mode ` +
        "with the configuration that the agent wrote",
    );
  }
  return parent;
}

async function processOf(pid: number): Promise<{ name: string; parent: number }> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const field = (name: string): string =>
    new RegExp(`^${name}:\\s*(.+)$`, "m").exec(status)?.[1]?.trim() ?? "";
  return { name: field("Name"), parent: Number(field("PPid")) };
}
