/**
 * P2: at 100 jobs per second, from the commit of a job's row to its host's answer; beside the bare request-reply at the
 * same rate, in the same process, under the same heartbeats. Open loop: a late one does not delay the next.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { BareConnection } from "@berth/shared/kit/bare-connection.ts";
import { median } from "../kit/statistics.ts";
import { tableLines } from "../kit/table.ts";
import { oneReply } from "./bare.ts";
import { type Bench, type Host, mixedSizes } from "./bench.ts";
import { makeJobs } from "./jobs.ts";
import { percentile } from "./spread.ts";

const perSecond = 100;
const segmentSeconds = 6;
const answerTimeoutMs = 30_000;

interface Segment {
  readonly latencies: number[];
  /** How late the generator was at worst. */
  readonly lateMs: number;
}

export interface Latency {
  readonly placed: number[];
  readonly bare: number[];
  readonly lines: string[];
  readonly p99Ms: object;
}

export async function measureLatency(
  bench: Bench,
  bare: BareConnection,
  { pairs, say }: { pairs: number; say: (line: string) => void },
): Promise<Latency> {
  const payload = bench.bareAward();
  const bareSegment = () =>
    openLoop((n) => oneReply(bare, (bench.hosts[n % bench.hosts.length] as Host).id, payload));
  const stages: { before: number; after: number }[] = [];
  const placedSegment = async () => {
    const segment = await openLoop(placeOne(bench, stages));
    await bench.clear();
    return segment;
  };
  await bareSegment();
  await placedSegment();
  stages.length = 0;
  const segments: { bare: Segment; placed: Segment }[] = [];
  for (let i = 0; i < pairs; i += 1) {
    const pair = { bare: await bareSegment(), placed: await placedSegment() };
    segments.push(pair);
    const p99 = (segment: Segment) => percentile(segment.latencies, 0.99).toFixed(2);
    say(`${i + 1}/${pairs}: p99 bare ${p99(pair.bare)} ms, Berth ${p99(pair.placed)} ms`);
  }
  const of = (arm: "bare" | "placed", share: number) =>
    segments.map((pair) => percentile(pair[arm].latencies, share));
  const row = (name: string, arm: "bare" | "placed") => [
    name,
    ...[0.5, 0.9, 0.99].map((share) => median(of(arm, share)).toFixed(2)),
    Math.max(...segments.map((pair) => pair[arm].lateMs)).toFixed(1),
  ];
  const [before, after] = [median(stages.map((one) => one.before)), median(stages.map((one) => one.after))];
  return {
    placed: of("placed", 0.99),
    bare: of("bare", 0.99),
    lines: [
      "",
      `${perSecond} jobs per second, open loop, ${segmentSeconds} s per segment`,
      ...tableLines(
        ["ms", "p50", "p90", "p99", "generator late"],
        [row("bare request-reply", "bare"), row("accepted → acknowledged", "placed")],
      ),
      `where it goes (medians): row committed → award sent ${before.toFixed(2)} ms (wake, read, place, store), sent → acknowledged ${after.toFixed(2)} ms`,
    ],
    p99Ms: { bare: median(of("bare", 0.99)), placed: median(of("placed", 0.99)) },
  };
}

async function openLoop(one: (n: number) => Promise<number>): Promise<Segment> {
  const startedAtMs = performance.now();
  const under: Promise<number>[] = [];
  let lateMs = 0;
  for (let n = 0; n < perSecond * segmentSeconds; n += 1) {
    const dueAtMs = startedAtMs + (n * 1000) / perSecond;
    const waitMs = dueAtMs - performance.now();
    if (waitMs > 0) await delay(waitMs);
    lateMs = Math.max(lateMs, performance.now() - dueAtMs);
    under.push(one(n));
  }
  return { latencies: await Promise.all(under), lateMs };
}

function placeOne(bench: Bench, stages: { before: number; after: number }[]) {
  const jobs = makeJobs(mixedSizes(perSecond * segmentSeconds));
  return async (n: number): Promise<number> => {
    const job = jobs[n];
    if (job === undefined) throw new Error("more jobs than were made");
    await bench.given.record.request([job]);
    const startedAtMs = performance.now();
    bench.wake();
    const { sentAtMs, atMs } = await bench.acknowledged(job.id, answerTimeoutMs);
    stages.push({ before: sentAtMs - startedAtMs, after: atMs - sentAtMs });
    return atMs - startedAtMs;
  };
}
