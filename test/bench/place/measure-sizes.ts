/** P5: the same jobs on few and on many agents. */
import { median } from "../kit/statistics.ts";
import { type Bench, mixedSizes } from "./bench.ts";
import { makeJobs } from "./jobs.ts";

const few = 100;
const many = 5000;
const trialsPerSize = 3;

export async function measureSizes(
  bench: Bench,
  { pairs, jobs, say }: { pairs: number; jobs: number; say: (line: string) => void },
): Promise<{ few: number[]; many: number[]; rows: string[][] }> {
  const rates: { few: number[]; many: number[] } = { few: [], many: [] };
  for (let i = 0; i < pairs; i += 1) {
    for (const [size, count] of [
      ["few", few],
      ["many", many],
    ] as const) {
      await bench.setHosts(count, say);
      const trials: number[] = [];
      for (let trial = 0; trial < trialsPerSize; trial += 1) {
        trials.push((jobs * 1000) / (await bench.place(makeJobs(mixedSizes(jobs)))).wallMs);
        await bench.clear();
      }
      rates[size].push(median(trials));
      say(`${i + 1}/${pairs}: ${count} agents ${Math.round(rates[size].at(-1) ?? 0)}/s`);
    }
  }
  const row = (count: number, list: readonly number[]) => [String(count), median(list).toFixed(0)];
  return { ...rates, rows: [row(few, rates.few), row(many, rates.many)] };
}
