/**
 * `berth bench wake`: from the request that comes for a sleeper to its first byte, beside bare parts of the same engine.
 *
 *   W1  stopped: request → edge → activator → agent → docker start → first byte / docker start + connect loop to 200
 *   W2  frozen: the same with docker unpause
 *   W3  1,000 requests at once to one sleeper, and 2,000 at random instants while it falls asleep: none lost
 *   W4  p99 of wakes beside many sleepers / beside ten
 *   W5  CPU of everything that the pod is made of, beside many sleepers less beside ten, as a share of one core
 *
 * The request comes to the edge of the host that holds the sleeper; `W1b` is the same through another host's edge.
 * Brings up a lab of its own and removes it.
 *
 *   node test/bench/wake.ts [--pairs 9] [--cycles 40] [--only W1,W1b,W2,W3,W4,W5] [--sleepers 1000] [--wakes 30]
 *     [--cpu-seconds 30] [--state-dir DIR] [--index 19]
 */
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { LabPod } from "@berth/infra/lab/lab-pod.ts";
import type { SleepLevel } from "@berth/shared/domain/sleep.ts";
import { z } from "zod";
import { wholeFlag } from "./kit/flags.ts";
import { withLab } from "./kit/lab-run.ts";
import { type Figure, figureLines, reportLine } from "./kit/report.ts";
import { estimate, median, ratios } from "./kit/statistics.ts";
import { appPort, limits, type Site } from "./scale/arm.ts";
import { sitesOf } from "./scale/sites.ts";
import { HostAsker } from "./wake/ask-host.ts";
import type { Report } from "./wake/asker.ts";
import { type CrowdResult, measureCrowd } from "./wake/crowd.ts";
import { makeSleeper, type Sleeper } from "./wake/sleeper.ts";
import { type Stages, stageLines, stagesOf } from "./wake/stages.ts";

const { values: flags } = parseArgs({
  options: {
    pairs: { type: "string", default: "9" },
    cycles: { type: "string", default: "40" },
    only: { type: "string", default: "W1,W1b,W2,W3" },
    sleepers: { type: "string", default: "1000" },
    wakes: { type: "string", default: "30" },
    "cpu-seconds": { type: "string", default: "30" },
    "state-dir": { type: "string", default: "/var/tmp/berth-bench-wake" },
    "cache-dir": { type: "string" },
    index: { type: "string", default: "19" },
    "postgres-port": { type: "string", default: "7791" },
    "nats-monitor-port": { type: "string", default: "7792" },
  },
});
const [pairs, cycles] = [wholeFlag(flags, "pairs", 1, 200), wholeFlag(flags, "cycles", 1, 1000)];
const only = new Set(flags.only.split(","));
const isCrowd = only.has("W4") || only.has("W5");
const say = (line: string): void => console.error(line);

const atOnce = 1000;
const inFall = 50;
/** From the order to sleep to the stopped container. */
const fallMs = 1600;
const bareNetwork = "bench-wake-bare";
const bareAddress = "10.251.0.10";

const listed = z.array(z.object({ Id: z.string(), ImageID: z.string() }));
const created = z.object({ Id: z.string() });

interface Rig {
  readonly sleeper: Sleeper;
  readonly holder: Site;
  readonly other: Site;
  readonly asker: HostAsker;
  readonly otherAsker: HostAsker;
  readonly edgePort: number;
  readonly bareId: string;
  /** Of the holder: its logs tell the stages of wakes. */
  readonly supervisorDir: string;
  readonly stages: Stages[];
  readonly bareEngineMs: number[];
}

await withLab(
  {
    ...{ hosts: isCrowd ? 3 : 2, flags, say },
    settings: {
      stackImage: false,
      serviceEnv: {
        // How long what is open may last before a sleep is not measured.
        scheduler: { BERTH_DRAIN_MS: "500" },
        ...(isCrowd ? { agent: { BERTH_AGENT_JOB_SLOTS: "1000" } } : {}),
      },
    },
  },
  measure,
);

async function measure(labPod: LabPod, folder: string): Promise<void> {
  const sites = sitesOf(labPod.lab);
  const sleeper = await makeSleeper(labPod, folder);
  const holder = sites.find(({ name }) => name === sleeper.holder) as Site;
  const other = sites.find(({ name }) => name !== sleeper.holder) as Site;
  const bareId = await makeBare(holder);
  const rig: Rig = {
    ...{
      sleeper,
      holder,
      other,
      bareId,
      edgePort: labPod.pod.settings.edgePort,
      stages: [],
      bareEngineMs: [],
    },
    supervisorDir: labPod.lab.host(sleeper.holder).supervisorDir,
    asker: new HostAsker(holder.netnsPath),
    otherAsker: new HostAsker(other.netnsPath),
  };
  try {
    await berthWake(rig, "stopped", rig.asker);
    const figures: Figure[] = [];
    if (only.has("W1")) figures.push(await compare(rig, "W1", "stopped", rig.asker, 1.15));
    if (only.has("W1b")) figures.push(await compare(rig, "W1b", "stopped", rig.otherAsker, 1.15));
    if (only.has("W2")) figures.push(await compare(rig, "W2", "frozen", rig.asker, 1.3));
    const lost = only.has("W3") ? await loseNothing(rig) : {};
    const crowd = isCrowd ? await crowdOf(labPod, sites, sleeper) : null;
    figures.push(...(crowd?.figures ?? []));
    for (const line of figureLines(figures)) console.log(line);
    console.log(reportLine("wake", figures, { ...lost, ...crowd?.details }, {}));
  } finally {
    rig.asker.close();
    rig.otherAsker.close();
    await sleeper.close();
    for (const { engine } of sites) engine.close();
  }
}

function crowdOf(labPod: LabPod, sites: readonly Site[], sleeper: Sleeper): Promise<CrowdResult> {
  return measureCrowd({
    ...{ labPod, sites, sleeper, only, say },
    sleepers: wholeFlag(flags, "sleepers", 11, 1400),
    wakes: wholeFlag(flags, "wakes", 1, 1000),
    cpuSeconds: wholeFlag(flags, "cpu-seconds", 1, 600),
  });
}

/** The same image as the app's, with its limits, on a network of its own; started once, then stopped. */
async function makeBare({ engine }: Site): Promise<string> {
  const filters = encodeURIComponent(JSON.stringify({ label: ["berth.job"] }));
  const [app] = await engine.ask(listed, "GET", `/containers/json?filters=${filters}`);
  if (app === undefined) throw new Error("the holder runs no container of the app");
  const IPAM = { Config: [{ Subnet: "10.251.0.0/24" }] };
  await engine.tell("POST", "/networks/create", { Name: bareNetwork, Driver: "bridge", IPAM });
  const { Id } = await engine.ask(created, "POST", "/containers/create", {
    Image: app.ImageID,
    HostConfig: {
      ...{ Memory: limits.memoryBytes, MemorySwap: limits.memoryBytes },
      ...{ NanoCpus: limits.cpuMillis * 1_000_000, NetworkMode: bareNetwork },
    },
    NetworkingConfig: {
      EndpointsConfig: { [bareNetwork]: { IPAMConfig: { IPv4Address: bareAddress } } },
    },
  });
  await engine.tell("POST", `/containers/${Id}/start`);
  await delay(500);
  return Id;
}

async function bareWake(rig: Rig, level: SleepLevel): Promise<number> {
  const { engine, dockerSocket: socketPath } = rig.holder;
  const path = `/containers/${rig.bareId}`;
  await engine.tell("POST", level === "frozen" ? `${path}/pause` : `${path}/stop?t=2`);
  await delay(300);
  const enginePath = level === "frozen" ? `${path}/unpause` : `${path}/start`;
  const asked = { socketPath, enginePath, address: bareAddress, port: appPort };
  const { firstMs, engineMs } = await rig.asker.do({ op: "bare", ...asked });
  rig.bareEngineMs.push(engineMs ?? 0);
  return firstMs;
}

async function berthWake(rig: Rig, level: SleepLevel, asker: HostAsker): Promise<number> {
  await rig.sleeper.order(level);
  await rig.sleeper.until("asleep");
  await delay(300);
  const report = await ask(rig, asker, 1);
  const { firstMs, failed } = report;
  if (Object.keys(failed).length > 0) throw new Error(`the held request was lost: ${JSON.stringify(failed)}`);
  await rig.sleeper.until("awake");
  const stages = asker === rig.asker ? stagesOf(rig.supervisorDir, report) : null;
  if (stages !== null) rig.stages.push(stages);
  return firstMs;
}

function ask({ edgePort: port, sleeper }: Rig, asker: HostAsker, requests: number): Promise<Report> {
  return asker.do({ op: "edge", address: "127.0.0.1", port, host: sleeper.hostname, count: requests });
}

async function compare(
  rig: Rig,
  id: string,
  level: SleepLevel,
  asker: HostAsker,
  goal: number,
): Promise<Figure> {
  const same = [await bareWake(rig, level), await bareWake(rig, level)] as const;
  say(`${id}: A–A ${(same[0] / same[1]).toFixed(2)}`);
  const [berth, bare]: [number[], number[]] = [[], []];
  rig.stages.length = 0;
  rig.bareEngineMs.length = 0;
  for (let pair = 1; pair <= pairs; pair++) {
    bare.push(await bareWake(rig, level));
    berth.push(await berthWake(rig, level, asker));
    say(`${id} ${pair}/${pairs}: Berth ${berth.at(-1)?.toFixed(1)} ms, bare ${bare.at(-1)?.toFixed(1)} ms`);
  }
  if (rig.stages.length > 0) for (const line of stageLines(rig.stages)) say(line);
  say(`of a bare wake the engine's answer takes ${median(rig.bareEngineMs).toFixed(1)} ms (median)`);
  const through = asker === rig.asker ? "its host's edge" : "another host's edge";
  const what = `${level} → first byte through ${through} / bare`;
  return { id, what, goal, better: "lower", kind: "floor", estimate: estimate(ratios(berth, bare)) };
}

/** @throws when a request is lost or a sleep does not end exactly once */
async function loseNothing(rig: Rig): Promise<Record<string, unknown>> {
  await rig.sleeper.events();
  await rig.sleeper.order("stopped");
  await rig.sleeper.until("asleep");
  const burst = await ask(rig, rig.asker, atOnce);
  await rig.sleeper.until("awake");
  const burstEvents = await rig.sleeper.events();
  say(`W3: ${atOnce} at once: ${JSON.stringify(burst)}, ${JSON.stringify(burstEvents)}`);
  const failed: Record<string, number> = {};
  for (let cycle = 0; cycle < cycles; cycle++) {
    for (const [outcome, times] of Object.entries(await fallUnderRequests(rig)))
      failed[outcome] = (failed[outcome] ?? 0) + times;
    await rig.sleeper.until("awake");
  }
  const fallEvents = await rig.sleeper.events();
  say(
    `W3: ${cycles} falls, ${cycles * inFall} requests: ${JSON.stringify(failed)}, ${JSON.stringify(fallEvents)}`,
  );
  const wakes = (counts: Record<string, number>) => counts["sleep.awake"] ?? 0;
  return {
    W3: {
      ...{ lostAtOnce: sum(burst.failed), lostInFall: sum(failed), requests: atOnce + cycles * inFall },
      ...{ sleeps: 1 + (fallEvents["sleep.falling"] ?? 0), wakes: wakes(burstEvents) + wakes(fallEvents) },
      ...{ fellAsleep: fallEvents["sleep.asleep"] ?? 0, lastOfBurstMs: Math.round(burst.lastMs) },
    },
  };
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((total, times) => total + times, 0);
}

/** Requests at random instants of one fall: through both edges, one after the other at each. */
async function fallUnderRequests(rig: Rig): Promise<Record<string, number>> {
  const failed: Record<string, number> = {};
  const first = Math.random() * fallMs;
  await rig.sleeper.order("stopped");
  const visitor = async (asker: HostAsker, requests: number): Promise<void> => {
    const gaps = Array.from({ length: requests }, () => Math.random()).toSorted((a, b) => a - b);
    const startedMs = performance.now();
    for (const gap of gaps) {
      await delay(Math.max(0, first + gap * 100 - (performance.now() - startedMs)));
      const report = await ask(rig, asker, 1);
      for (const [outcome, times] of Object.entries(report.failed))
        failed[outcome] = (failed[outcome] ?? 0) + times;
    }
  };
  await Promise.all([visitor(rig.asker, inFall / 2), visitor(rig.otherAsker, inFall / 2)]);
  return failed;
}
