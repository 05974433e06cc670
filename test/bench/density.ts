/**
 * `berth bench density`: how many containers a host takes, and what one more costs.
 *
 *   C1  start of one more container beside many / beside ten; both from the job's own stages, one at a time
 *   C3  idle apps that answer on this machine over three engines
 *   C4  memory that one more idle app takes, everything of its host included / `docker run` of the same image
 *   C5  packet rules of a host beside many containers / beside ten
 *
 * Takes the machine for a while: about a second per container. `--only` measures a part; each part makes and removes its
 * own lab, so that a whole run may be put together from several.
 *
 *   node test/bench/density.ts [--only C1,C3,C4,C5] [--containers 500] [--apps 1000] [--memory-apps 100] [--index 20]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Lab, labDown, labUp } from "@berth/infra/lab/lab.ts";
import { MIB } from "@berth/shared/domain/resources.ts";
import { makeEnvironments } from "../network/many-environments.ts";
import { instancesOf, netnsOf } from "../network/namespaces.ts";
import { type NetworkApp, type NetworkLab, startNetworkLab } from "../network/network-lab.ts";
import { askFrom } from "../network/probe.ts";
import { bareMemory, restMs } from "./density/bare-arm.ts";
import { packetRules, usedByProgram, usedPerContainer } from "./density/host-use.ts";
import { startTimes } from "./density/start-times.ts";
import { Closing } from "./kit/closing.ts";
import { wholeFlag } from "./kit/flags.ts";
import { type Figure, figureLines, reportLine } from "./kit/report.ts";
import { estimate, median, ratios } from "./kit/statistics.ts";

const cacheDir = join(tmpdir(), "berth-lab-cache");
const known = ["C1", "C3", "C4", "C5"];
/** Of one environment: below the 237 addresses that its containers have on a host. */
const perEnvironment = 230;
const few = 10;
const singles = 7;
const singleCpuMillis = 300;
/** What is asked for at once, so that it is there within the time that a lab waits. */
const scaleStep = 40;
const sizes = { memoryBytes: 16 * MIB, cpuMillis: 50, diskBytes: 16 * MIB };

const { values: flags } = parseArgs({
  options: {
    only: { type: "string", default: known.join(",") },
    containers: { type: "string", default: "500" },
    apps: { type: "string", default: "1000" },
    "memory-apps": { type: "string", default: "100" },
    index: { type: "string", default: "20" },
    "postgres-port": { type: "string", default: "17371" },
  },
});
const parts = new Set(flags.only.split(","));
for (const part of parts)
  if (!known.includes(part)) throw new Error(`--only takes ${known.join(", ")}, not ${part}`);
const index = wholeFlag(flags, "index", 0, 98);

const say = (line: string): void => console.error(line);
const closing = new Closing(say);

const figures: Figure[] = [];
const details: Record<string, unknown> = {};
try {
  if (parts.has("C1") || parts.has("C5")) await crowdedHost();
  if (parts.has("C4")) await memory();
  if (parts.has("C3")) await idleApps();
} finally {
  await closing.closeAll();
}
for (const line of figureLines(figures)) console.log(line);
console.log(reportLine("density", figures, details, {}));

async function berthLab(hosts: number): Promise<{ lab: NetworkLab; app: NetworkApp }> {
  const stateDir = join(tmpdir(), `berth-density-${process.pid}`);
  const agentEnv = { BERTH_AGENT_JOB_SLOTS: "500", BERTH_AGENT_NETWORKS_COUNT: "500" };
  const postgresPort = wholeFlag(flags, "postgres-port", 1, 65_535);
  const lab = await startNetworkLab({ hosts, index, postgresPort, stateDir, agentEnv });
  closing.push(lab.close);
  const app = await lab.app("bench", "app", sizes);
  return { lab, app };
}

/**
 * One host from ten containers to many. Beside each, a few more are started that have CPU enough: what is measured is the
 * start, not a limit.
 */
async function crowdedHost(): Promise<void> {
  const many = wholeFlag(flags, "containers", few + singles + 1, 1000);
  const { lab, app } = await berthLab(1);
  const host = lab.lab.host("h1");
  const single = await lab.app("single", "app", { ...sizes, cpuMillis: singleCpuMillis });
  await app.scale(few);
  const rulesFew = await packetRules(host);
  const startsFew = await startTimes(lab, single, { from: 1, count: singles, say });
  await single.scale(1);
  await fill(lab, app, many - singles - 1);
  const running = (await instancesOf([host], "berth.job")).length;
  const rulesMany = await packetRules(host);
  const startsMany = await startTimes(lab, single, { from: 1, count: singles, say });
  Object.assign(details, {
    crowdedHost: { containers: running, rulesFew, rulesMany, startsFew, startsMany },
  });
  say(`start beside ${few}: ${median(startsFew)} ms, beside ${running}: ${median(startsMany)} ms`);
  say(`packet rules beside ${few}: ${rulesFew}, beside ${running}: ${rulesMany}`);
  if (parts.has("C1"))
    figures.push({
      ...{ id: "C1", what: `start beside ${running} containers / beside ${few}`, goal: 1.3, better: "lower" },
      ...{ kind: "self", estimate: estimate(ratios(startsMany, startsFew)) },
    });
  if (parts.has("C5"))
    figures.push({
      ...{ id: "C5", what: `packet rules beside ${running} containers / beside ${few}`, goal: 1.1 },
      ...{ better: "lower", kind: "self", estimate: estimate([rulesMany / rulesFew]) },
    });
  await closing.closeAll();
}

/**
 * So many containers in as few environments as their addresses on one host allow: what an environment costs is not what
 * a container costs.
 */
async function fill(lab: NetworkLab, app: NetworkApp, wanted: number): Promise<void> {
  const own = Math.min(wanted, perEnvironment);
  for (let count = few; count < own; ) {
    count = Math.min(own, count + scaleStep);
    await app.scale(count);
    say(`${count} of ${wanted} containers run`);
  }
  if (wanted > own) {
    const { environments, instances } = spread(wanted - own);
    await makeEnvironments(lab, app, { count: environments, instances, atOnce: 1, say });
  }
}

function spread(count: number): { readonly environments: number; readonly instances: number } {
  const environments = Math.ceil(count / perEnvironment);
  return { environments, instances: Math.ceil(count / environments) };
}

async function memory(): Promise<void> {
  const count = wholeFlag(flags, "memory-apps", 5, perEnvironment - few);
  const { lab, app } = await berthLab(1);
  const bare = await bareLab();
  const host = lab.lab.host("h1");
  await app.scale(few);
  await setTimeout(restMs);
  const before = usedByProgram(host);
  for (let now = few; now < few + count; ) {
    now = Math.min(few + count, now + scaleStep);
    await app.scale(now);
    say(`${now} of ${few + count} containers run`);
  }
  await setTimeout(restMs);
  const berth = usedPerContainer(before, usedByProgram(host), count);
  const floor = await bareMemory(lab, app, bare, { few, count });
  Object.assign(details, { memory: { apps: count, berth, bare: floor } });
  say(
    `per idle app: Berth ${(berth.bytes / MIB).toFixed(2)} MiB, docker run ${(floor.bytes / MIB).toFixed(2)} MiB`,
  );
  figures.push({
    ...{ id: "C4", what: `memory per idle app, of ${count} / docker run`, goal: 1.05 },
    ...{ better: "lower", kind: "floor", estimate: estimate([berth.bytes / floor.bytes]) },
  });
  await closing.closeAll();
}

async function idleApps(): Promise<void> {
  const wanted = wholeFlag(flags, "apps", 3, 1500);
  const { lab, app } = await berthLab(3);
  const { environments, instances } = spread(wanted);
  const startMs = performance.now();
  await makeEnvironments(lab, app, { count: environments, instances, atOnce: 2, say });
  const seconds = Math.round((performance.now() - startMs) / 1000);
  const answering = (await Promise.all(lab.lab.hosts.map(answeringOn))).reduce((sum, one) => sum + one, 0);
  Object.assign(details, { idleApps: { answering, environments, seconds } });
  figures.push({
    ...{ id: "C3", what: `apps answering, of ${wanted} that were asked for`, goal: 1000, better: "higher" },
    ...{ kind: "self", estimate: estimate([answering]) },
  });
  await closing.closeAll();
}

/** @returns how many of the host's containers answer HTTP's port, asked by their host */
async function answeringOn(host: Lab["hosts"][number]): Promise<number> {
  const asks = (await instancesOf([host], "berth.job")).map(({ address }) => ({
    ...{ kind: "tcp" as const, to: address, port: 8080 },
  }));
  return (await askFrom(netnsOf(host, 1), asks, 5000)).filter(Boolean).length;
}

async function bareLab(): Promise<Lab> {
  const stateDir = mkdtempSync(join(tmpdir(), "berth-density-bare-"));
  closing.push(async () => {
    await labDown(stateDir, say);
    rmSync(stateDir, { recursive: true, force: true });
  });
  return await labUp({ hosts: 1, stateDir, index: index + 1, cacheDir, say });
}
