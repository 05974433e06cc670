/**
 * How evenly lots lie, and how evenly somebody could lay them who knows all of them beforehand. Pure.
 */

/** The most loaded over the mean. @throws RangeError when there is nothing */
export function peakToMean(loads: readonly number[]): number {
  if (loads.length === 0) throw new RangeError("the spread of nothing");
  const mean = loads.reduce((sum, load) => sum + load, 0) / loads.length;
  return Math.max(...loads) / mean;
}

/** Largest first, each to the least loaded: at most 4/3 of the best possible, and near it for many small lots. */
export function placeLargestFirst(lots: readonly number[], hostCount: number): number[] {
  const loads = Array.from({ length: hostCount }, () => 0);
  for (const lot of lots.toSorted((a, b) => b - a)) {
    const least = loads.indexOf(Math.min(...loads));
    loads[least] = (loads[least] as number) + lot;
  }
  return loads;
}

/** Nearest rank: the smallest value that `share` of all do not exceed. @throws RangeError when there are none */
export function percentile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new RangeError("a percentile of nothing");
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] as number;
}
