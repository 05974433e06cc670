/** What every benchmark ends with: goals beside figures, and the one JSON line for whatever reads it. */
import { readFileSync } from "node:fs";
import { arch, cpus, release, totalmem } from "node:os";
import type { Estimate } from "./statistics.ts";
import { readCpuTimes, stolenShare } from "./stolen.ts";
import { tableLines } from "./table.ts";

export interface Figure {
  readonly id: string;
  readonly what: string;
  /** Null: told for comparison only. */
  readonly goal: number | null;
  readonly better: "lower" | "higher";
  /** `floor`: the same work with bare parts; `peer`: another product; `self`: Berth in another setting. */
  readonly kind: "floor" | "peer" | "self";
  readonly estimate: Estimate;
}

/** Of the benchmark. */
const began = readCpuTimes();

export function figureLines(figures: readonly Figure[]): string[] {
  const rows = figures.map(({ id, what, goal, better, estimate }) => {
    const interval = `${estimate.low.toFixed(2)} – ${estimate.high.toFixed(2)}`;
    const cells = [`${id}  ${what}`, estimate.median.toFixed(3), interval, String(estimate.n)];
    if (goal === null) return [...cells, "none", ""];
    const met = better === "lower" ? estimate.median <= goal : estimate.median >= goal;
    return [...cells, `${better === "lower" ? "≤" : "≥"} ${goal.toFixed(2)}`, met ? "met" : "not met"];
  });
  const stolen = (stolenShare(began, readCpuTimes()) * 100).toFixed(1);
  return [
    ...tableLines(["ratio", "median", "95 % interval", "pairs", "goal", ""], rows),
    `other machines on the same hardware had ${stolen} % of the cores' time (steal)`,
  ];
}

export function reportLine(
  bench: string,
  figures: readonly Figure[],
  extra: Readonly<Record<string, unknown>>,
  versions: Readonly<Record<string, string>>,
): string {
  const ratios = Object.fromEntries(
    figures.map(({ id, goal, better, kind, estimate }) => {
      const { median, low, high, n } = estimate;
      return [id, { value: round(median), goal, better, kind, n, low: round(low), high: round(high) }];
    }),
  );
  return JSON.stringify({ bench, ratios, ...extra, env: { ...environment(), ...versions } });
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function environment(): Record<string, string | number> {
  return {
    date: new Date().toISOString(),
    kernel: release(),
    arch: arch(),
    cores: cpus().length,
    cpu: cpus()[0]?.model ?? "unknown",
    memoryBytes: totalmem(),
    stolenShare: round(stolenShare(began, readCpuTimes())),
    load: readFileSync("/proc/loadavg", "utf8").split(" ").slice(0, 3).join(" "),
    node: process.versions.node,
  };
}
