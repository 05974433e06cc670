/** The figures of `berth bench overlay`, as lines for a person and one for a program. Pure but for the clock. */
import { type Figure, figureLines, reportLine } from "../kit/report.ts";
import { type Estimate, estimate, median, ratios } from "../kit/statistics.ts";
import { tableLines } from "../kit/table.ts";
import type { Transfer } from "./transfer.ts";

/** What was asked about, and the floor of the same moment. */
export type Pair = readonly [Transfer, Transfer];

export interface Variant {
  readonly name: string;
  readonly transfers: readonly Transfer[];
}

export interface Measured {
  /** The floor against itself. */
  readonly same: readonly Pair[];
  readonly alone: readonly Pair[];
  /** With idle environments beside. */
  readonly crowded: readonly Pair[];
  readonly variants: readonly Variant[];
  readonly environments: number;
}

const quiet = { low: 0.97, high: 1.03 };

export function reportOverlay(measured: Measured, versions: Readonly<Record<string, string>>): string[] {
  const { same, alone, crowded, variants, environments } = measured;
  const figures = overlayFigures(measured);
  const samples = alone.length === 0 ? [] : sampleLines(alone, "alone");
  const crowd = crowded.length === 0 ? [] : sampleLines(crowded, `with ${environments} idle environments`);
  const sameMedian = same.length === 0 ? null : median(speedRatios(same));
  const noise =
    sameMedian === null
      ? []
      : [
          `A–A: the floor against itself ${sameMedian.toFixed(3)}${
            sameMedian < quiet.low || sameMedian > quiet.high ? ": the machine is too noisy" : ""
          }`,
        ];
  const tried = variants.length === 0 ? [] : ["", ...variantLines(variants)];
  const extra = {
    sameAgainstSame: sameMedian,
    variants: Object.fromEntries(variants.map(({ name, transfers }) => [name, summary(transfers)])),
    berth: summary(alone.map(([berth]) => berth)),
    byHand: summary(alone.map(([, floor]) => floor)),
  };
  return [
    ...tried,
    ...samples,
    ...crowd,
    "",
    ...figureLines(figures),
    ...noise,
    reportLine("overlay", figures, extra, versions),
  ];
}

export function overlayFigures({ alone, crowded }: Pick<Measured, "alone" | "crowded">): Figure[] {
  if (alone.length === 0) return [];
  const figures: Figure[] = [
    {
      ...{ id: "O1", what: "throughput, Berth / by hand", goal: 0.95, better: "higher", kind: "floor" },
      estimate: estimate(speedRatios(alone)),
    },
    {
      ...{ id: "O2", what: "CPU per GB, Berth / by hand", goal: 1.05, better: "lower", kind: "floor" },
      estimate: estimate(
        ratios(
          alone.map(([berth]) => berth.cpuSecondsPerGigabyte),
          alone.map(([, floor]) => floor.cpuSecondsPerGigabyte),
        ),
      ),
    },
    {
      ...{ id: "O4", what: "Gb/s per busy core, both ends", goal: 1, better: "higher", kind: "self" },
      estimate: estimate(alone.map(([berth]) => berth.gigabitsPerBusyCore)),
    },
  ];
  if (crowded.length > 0) figures.push(crowdFigure(alone, crowded));
  return figures;
}

/** Each arm's own ratio to the floor of its moment: what the machine does in between is in both. */
function crowdFigure(alone: readonly Pair[], crowded: readonly Pair[]): Figure {
  const before = median(speedRatios(alone));
  const relative: Estimate = estimate(speedRatios(crowded).map((ratio) => ratio / before));
  return {
    ...{ id: "O5", what: "throughput beside idle environments / alone", goal: 0.95, better: "higher" },
    ...{ kind: "self", estimate: relative },
  };
}

function speedRatios(pairs: readonly Pair[]): number[] {
  return ratios(
    pairs.map(([one]) => one.gigabitsPerSecond),
    pairs.map(([, other]) => other.gigabitsPerSecond),
  );
}

const heading = ["", "Gb/s", "CPU s per GB", "Gb/s per busy core", "retransmits"];

function sampleLines(pairs: readonly Pair[], what: string): string[] {
  const rows = [
    row(
      "Berth",
      pairs.map(([berth]) => berth),
    ),
    row(
      "by hand",
      pairs.map(([, floor]) => floor),
    ),
  ];
  return ["", `${what}, medians of ${pairs.length}`, ...tableLines(heading, rows)];
}

function variantLines(variants: readonly Variant[]): string[] {
  return tableLines(
    heading,
    variants.map(({ name, transfers }) => row(name, transfers)),
  );
}

function row(name: string, transfers: readonly Transfer[]): string[] {
  const { gigabitsPerSecond, cpuSecondsPerGigabyte, gigabitsPerBusyCore, retransmits } = summary(transfers);
  return [
    name,
    gigabitsPerSecond.toFixed(2),
    cpuSecondsPerGigabyte.toFixed(2),
    gigabitsPerBusyCore.toFixed(2),
    String(retransmits),
  ];
}

function summary(transfers: readonly Transfer[]): Transfer {
  const of = (read: (one: Transfer) => number): number =>
    transfers.length === 0 ? 0 : Math.round(median(transfers.map(read)) * 1000) / 1000;
  return {
    gigabitsPerSecond: of((one) => one.gigabitsPerSecond),
    cpuSecondsPerGigabyte: of((one) => one.cpuSecondsPerGigabyte),
    gigabitsPerBusyCore: of((one) => one.gigabitsPerBusyCore),
    retransmits: of((one) => one.retransmits),
  };
}
