/**
 * P3: 100 equal hosts are filled to 70 % of their memory, in batches, in an order that nobody chose; then the most loaded
 * against the mean, beside the same lots laid largest first by somebody who knew all of them.
 */
import { setTimeout as delay } from "node:timers/promises";
import { GIB, MIB } from "@berth/shared/domain/resources.ts";
import { tableLines } from "../kit/table.ts";
import type { Bench } from "./bench.ts";
import { makeJobs } from "./jobs.ts";
import { peakToMean, placeLargestFirst } from "./spread.ts";

const hostCount = 100;
const hostBytes = 16 * GIB;
const share = 0.7;
const batches = 10;
const sizesMib = [64, 128, 128, 256, 256, 512, 1024];
const beatsMs = 2500;

export async function measureFill(
  bench: Bench,
  { fills, say }: { fills: number; say: (line: string) => void },
): Promise<{ ratios: number[]; lines: string[] }> {
  await bench.setHosts(hostCount, say, hostBytes);
  const rows: string[][] = [];
  const ratios: number[] = [];
  for (let fill = 0; fill < fills; fill += 1) {
    const sizes = lotsFor(hostCount * hostBytes * share, fill);
    const perBatch = Math.ceil(sizes.length / batches);
    for (let at = 0; at < sizes.length; at += perBatch) {
      await bench.place(makeJobs(sizes.slice(at, at + perBatch)));
      // What was starting runs, and the hosts have said so.
      await bench.given.agents.tell("settle");
      await delay(300);
    }
    await delay(beatsMs);
    const states = await bench.given.agents.states();
    const berth = peakToMean(states.map((state) => state.memoryTotalBytes - state.memoryFreeBytes));
    const foreseen = peakToMean(placeLargestFirst(sizes, hostCount));
    ratios.push(berth / foreseen);
    rows.push([String(sizes.length), berth.toFixed(4), foreseen.toFixed(4), (berth / foreseen).toFixed(4)]);
    say(`fill ${fill + 1}/${fills}: ${rows.at(-1)?.join(" ") ?? ""}`);
    await bench.clear();
  }
  return {
    ratios,
    lines: [
      "",
      `${hostCount} hosts of ${hostBytes / GIB} GiB filled to ${share * 100} % in ${batches} batches: most loaded / mean`,
      ...tableLines(["lots", "Berth", "with foresight", "ratio"], rows),
    ],
  };
}

/** Lots of mixed sizes, in a mixed but repeatable order, up to the wanted sum. */
function lotsFor(bytes: number, seed: number): number[] {
  const lots: number[] = [];
  let state = 12_345 + seed * 7919;
  for (let sum = 0; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const mib = sizesMib[(state >>> 8) % sizesMib.length] as number;
    if (sum + mib * MIB > bytes) return lots;
    sum += mib * MIB;
    lots.push(mib);
  }
}
