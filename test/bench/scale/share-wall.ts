/**
 * Where a wall time went when many jobs are under way at once.
 *
 * Each instant is shared in equal parts among the stages' intervals that hold it, so that the stages add up to the
 * time in which anything was under way, and that to at most the wall time. Pure.
 */

import { median } from "../kit/statistics.ts";
import type { Explained } from "./arm.ts";

export interface Interval {
  readonly name: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

/** What lies outside of the wall time does not count; stages come in the order in which they first began. */
export function shareWall(intervals: readonly Interval[], startMs: number, wallMs: number): Explained {
  const endMs = startMs + wallMs;
  const inside = intervals
    .map((one) => ({
      name: one.name,
      from: Math.max(one.startedAtMs, startMs),
      to: Math.min(one.endedAtMs, endMs),
    }))
    .filter(({ from, to }) => to > from)
    .sort((a, b) => a.from - b.from);
  const shares = new Map<string, number>(inside.map(({ name }) => [name, 0]));
  const instants = [...new Set(inside.flatMap(({ from, to }) => [from, to]))].sort((a, b) => a - b);
  let coveredMs = 0;
  for (const [i, from] of instants.entries()) {
    const to = instants[i + 1];
    if (to === undefined) break;
    const open = inside.filter((one) => one.from <= from && one.to >= to);
    if (open.length === 0) continue;
    coveredMs += to - from;
    for (const { name } of open) shares.set(name, (shares.get(name) ?? 0) + (to - from) / open.length);
  }
  const stages = [...shares].map(([name, ms]) => {
    const lengths = inside.filter((one) => one.name === name).map((one) => one.to - one.from);
    return { name, ms, medianMs: median(lengths) };
  });
  return { stages, coveredShare: wallMs > 0 ? coveredMs / wallMs : 0 };
}
