/**
 * The statistics of the benchmarks: medians and bootstrap intervals of per-pair ratios.
 *
 * Pure, and the same answer for the same input: the resampling has its own generator with a fixed seed.
 */

export interface Estimate {
  readonly median: number;
  /** Limits of the 95 % interval of the median. */
  readonly low: number;
  readonly high: number;
  readonly n: number;
}

const resamples = 4000;
const seed = 20_150_317;

/** @throws RangeError when there are no values */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("the median of nothing");
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] as number;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] as number;
  return (lower + upper) / 2;
}

/** Percentile bootstrap of the median. One value gives an interval of no width: it says nothing about spread. */
export function estimate(values: readonly number[]): Estimate {
  const random = mulberry32(seed);
  const medians = Array.from({ length: resamples }, () =>
    median(values.map(() => values[Math.floor(random() * values.length)] as number)),
  ).sort((a, b) => a - b);
  const at = (share: number): number => medians[Math.round(share * (resamples - 1))] as number;
  return { median: median(values), low: at(0.025), high: at(0.975), n: values.length };
}

/** Ratio per pair. @throws RangeError when the arms differ in length */
export function ratios(measured: readonly number[], compared: readonly number[]): number[] {
  if (measured.length !== compared.length) throw new RangeError("the arms of a pair differ in length");
  return measured.map((value, i) => value / (compared[i] as number));
}

/** A small generator with 32 bits of state: good enough to pick samples, and it can be repeated. */
function mulberry32(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
