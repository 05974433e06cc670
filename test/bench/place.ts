/**
 * `berth bench place`: the auction with thousands of simulated agents, beside the floor of its own message bus.
 *
 *   Berth      the scheduler's own code on a real NATS (TLS, allow-lists, schemas checked at both ends) and a real
 *              PostgreSQL (synced): decision, award and answer stored under the leader's fence
 *   bare       request-reply of the same client library over the same server: the bytes of one award and one answer,
 *              the best of several windows; nothing parsed, nothing stored
 *   broadcast  one auction per job: every host is asked and bids, the best is awarded
 *
 *   node test/bench/place.ts [--pairs 7] [--jobs 4000] [--agents 1000] [--state-dir DIR] [--only P1,P2,P3,P5]
 */
import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { parseArgs } from "node:util";
import { type BareConnection, connectBare } from "@berth/shared/kit/bare-connection.ts";
import { wholeFlag } from "./kit/flags.ts";
import { type Figure, figureLines, reportLine } from "./kit/report.ts";
import { estimate, median, ratios } from "./kit/statistics.ts";
import { tableLines } from "./kit/table.ts";
import { Agents } from "./place/agents.ts";
import { Bench } from "./place/bench.ts";
import { Record } from "./place/jobs.ts";
import { measureFill } from "./place/measure-fill.ts";
import { measureLatency } from "./place/measure-latency.ts";
import { measureRate } from "./place/measure-rate.ts";
import { measureSizes } from "./place/measure-sizes.ts";
import { type Parts, type Ports, startParts } from "./place/parts.ts";

const { values: flags } = parseArgs({
  options: {
    pairs: { type: "string", default: "7" },
    jobs: { type: "string", default: "4000" },
    agents: { type: "string", default: "1000" },
    only: { type: "string", default: "P1,P2,P3,P5" },
    "state-dir": { type: "string", default: "/var/tmp/berth-bench-place" },
    "postgres-port": { type: "string", default: "7751" },
    "nats-monitor-port": { type: "string", default: "7752" },
    "nats-port": { type: "string", default: "7753" },
  },
});

const say = (line: string): void => console.error(line);
const print = (line: string): void => console.log(line);

await main();

async function main(): Promise<void> {
  const stateDir = flags["state-dir"];
  const made = !existsSync(stateDir);
  const ports = {
    ...{
      postgres: wholeFlag(flags, "postgres-port", 1, 1_000_000),
      nats: wholeFlag(flags, "nats-port", 1, 1_000_000),
    },
    natsMonitor: wholeFlag(flags, "nats-monitor-port", 1, 1_000_000),
  };
  const closing: (() => Promise<unknown>)[] = [];
  const { promise: stopped, reject: stop } = Promise.withResolvers<never>();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => stop(new Error(`${signal}: stopped before the end`)));
  try {
    await mkdir(stateDir, { recursive: true });
    // What still runs when it is stopped fails for want of what is closed under it.
    const running = startAndMeasure(stateDir, ports, closing);
    running.catch(() => undefined);
    await Promise.race([running, stopped]);
  } catch (error) {
    process.exitCode = 1;
    say(error instanceof Error ? `place: ${error.message}` : String(error));
  } finally {
    while (closing.length > 0)
      await closing
        .shift()?.()
        .catch((error: unknown) => say(`cleaning up: ${String(error)}`));
    if (made) await rm(stateDir, { recursive: true, force: true });
  }
  process.exit();
}

/** @param closing what to undo, in this order; grows as parts start */
async function startAndMeasure(
  stateDir: string,
  ports: Ports,
  closing: (() => Promise<unknown>)[],
): Promise<void> {
  const parts = await startParts(stateDir, ports, say);
  closing.unshift(() => parts.close());
  const record = new Record(parts.adminUrl);
  closing.unshift(() => record.close());
  const agents = await Agents.start(parts.agents);
  closing.unshift(() => agents.close());
  const bare = await connectBare({ service: "scheduler", ...parts.scheduler });
  closing.unshift(() => bare.close());
  const bench = await Bench.start({ parts, record, agents, bare });
  closing.unshift(() => bench.close());
  await measure(bench, bare, parts);
}

async function measure(bench: Bench, bare: BareConnection, parts: Parts): Promise<void> {
  const only = new Set(flags.only.split(","));
  const [pairs, jobs, agents] = [
    wholeFlag(flags, "pairs", 1, 1_000_000),
    wholeFlag(flags, "jobs", 1, 1_000_000),
    wholeFlag(flags, "agents", 1, 1_000_000),
  ];
  const figures: Figure[] = [];
  const extra: { [name: string]: unknown } = {};
  await bench.setHosts(agents, say);
  if (only.has("P1")) {
    const rate = await measureRate(bench, bare, { pairs, jobs, agents, say });
    for (const line of rate.lines) print(line);
    figures.push(
      {
        ...{ id: "P1", what: "placements / bare request-replies per second", goal: 0.5, better: "higher" },
        ...{ kind: "floor", estimate: estimate(ratios(rate.placements, rate.bare)) },
      },
      {
        ...{ id: "P1b", what: "placements / broadcast auctions per second", goal: 20, better: "higher" },
        ...{ kind: "peer", estimate: estimate(ratios(rate.placements, rate.broadcast)) },
      },
    );
    Object.assign(extra, rate.extra);
    extra.perSecond = {
      placements: Math.round(median(rate.placements)),
      bare: Math.round(median(rate.bare)),
      broadcast: Math.round(median(rate.broadcast) * 10) / 10,
    };
  }
  if (only.has("P2")) {
    const latency = await measureLatency(bench, bare, { pairs: Math.max(3, pairs - 2), say });
    for (const line of latency.lines) print(line);
    figures.push({
      ...{ id: "P2", what: "p99 job accepted → award acknowledged / bare p99", goal: 4, better: "lower" },
      ...{ kind: "floor", estimate: estimate(ratios(latency.placed, latency.bare)) },
    });
    extra.p99Ms = latency.p99Ms;
  }
  if (only.has("P3")) {
    const fill = await measureFill(bench, { fills: 3, say });
    for (const line of fill.lines) print(line);
    figures.push({
      ...{ id: "P3", what: "peak over mean at 70 % / placed with foresight", goal: 1.02, better: "lower" },
      ...{ kind: "floor", estimate: estimate(fill.ratios) },
    });
  }
  if (only.has("P5")) {
    const sizes = await measureSizes(bench, { pairs: Math.min(3, pairs), jobs, say });
    print("");
    for (const line of tableLines(["agents", "placements/s"], sizes.rows)) print(line);
    figures.push({
      ...{ id: "P5", what: "placements per second, 5,000 agents / 100", goal: 0.8, better: "higher" },
      ...{ kind: "self", estimate: estimate(ratios(sizes.many, sizes.few)) },
    });
  }
  print("");
  for (const line of figureLines(figures)) print(line);
  print(reportLine("place", figures, extra, parts.versions));
}
