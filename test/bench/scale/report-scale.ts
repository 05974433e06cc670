/** What the scale benchmark says of its samples: tables for people, then the one JSON line. Pure but for the line's environment. */
import { type Figure, figureLines, reportLine } from "../kit/report.ts";
import { estimate, median, ratios } from "../kit/statistics.ts";
import { tableLines } from "../kit/table.ts";
import type { Sample } from "./arm.ts";

/** Outside of this the machine is too noisy for its own figures. */
const quiet = { low: 0.97, high: 1.03 };
/** P4: where bare parts leave room for it, else no slower than Swarm. */
const goalWithRoom = 0.8;
const goalWithoutRoom = 1;
const goalOverBare = 1.1;

/** One pass of a bare arm with one concurrency. */
export interface Try {
  readonly name: string;
  readonly wallMs: number;
}

export interface Measured {
  /** Berth, Swarm, best `docker run`, best by the API: in this order. */
  readonly arms: readonly string[];
  /** Per round one sample per arm. */
  readonly rounds: readonly (readonly Sample[])[];
  /** The best `docker run` with itself. */
  readonly same: readonly [Sample, Sample];
  readonly tries: readonly Try[];
  readonly replicas: number;
}

export function figuresOf(measured: Measured): Figure[] {
  const [berth = [], swarm = [], bare = [], api = []] = wallsOf(measured);
  const floor = median(ratios(bare, swarm));
  const goal = floor * goalOverBare <= goalWithRoom ? goalWithRoom : goalWithoutRoom;
  return [
    {
      ...{ id: "P4", what: "Berth / Swarm", goal, better: "lower", kind: "peer" },
      estimate: estimate(ratios(berth, swarm)),
    },
    {
      ...{ id: "P4b", what: "Berth / best docker run", goal: goalOverBare, better: "lower", kind: "floor" },
      estimate: estimate(ratios(berth, bare)),
    },
    {
      ...{ id: "P4c", what: "Berth / best by the API", goal: null, better: "lower", kind: "floor" },
      estimate: estimate(ratios(berth, api)),
    },
  ];
}

export function reportScale(measured: Measured, versions: Readonly<Record<string, string>>): string[] {
  const { arms, rounds, same, tries, replicas } = measured;
  const walls = wallsOf(measured);
  const settled = arms.map((_, column) => rounds.map((round) => (round[column] as Sample).settledMs));
  const ms = (value: number): string => Math.round(value).toString();
  const wallRows = arms.map((name, column) => {
    const list = (walls[column] ?? []).toSorted((a, b) => a - b);
    const middle = median(settled[column] ?? []);
    return [name, ms(median(list)), ms(list[0] ?? 0), ms(list.at(-1) ?? 0), ms(middle)];
  });
  const sameRatio = same[1].wallMs / same[0].wallMs;
  const noisy = sameRatio < quiet.low || sameRatio > quiet.high;
  const figures = figuresOf(measured);
  const [swarm = [], bare = []] = walls.slice(1);
  const floor = median(ratios(bare, swarm));
  const cpu = cpuOf(measured);
  const covered = median(rounds.map((round) => round[0]?.explained?.coveredShare ?? 0));
  const extra = {
    replicas,
    sameArm: { value: Math.round(sameRatio * 1000) / 1000, tooNoisy: noisy },
    bareOverSwarm: Math.round(floor * 1000) / 1000,
    medianMs: Object.fromEntries(arms.map((name, column) => [name, Math.round(median(walls[column] ?? []))])),
    routedMs: Math.round(median(settled[0] ?? [])),
    bareMs: Object.fromEntries(tries.map(({ name, wallMs }) => [name, Math.round(wallMs)])),
    cpuSeconds: Object.fromEntries(arms.map((name, column) => [name, cpu[column] ?? {}])),
    coveredShare: Math.round(covered * 1000) / 1000,
  };
  return [
    `1 → ${replicas} replicas until all answer on their own address\n`,
    ...tableLines(["arm, ms", "median", "least", "most", "in every edge"], wallRows),
    "\nbare, one pass each",
    ...tableLines(
      ["  concurrency per engine", "ms"],
      tries.map(({ name, wallMs }) => [`  ${name}`, ms(wallMs)]),
    ),
    "\nCPU seconds, medians",
    ...cpuLines(arms, cpu),
    "\nBerth: where the time goes",
    ...stageLines(rounds.map((round) => round[0] as Sample)),
    `\nA–A: ${sameRatio.toFixed(3)} (docker run with itself)${noisy ? ": TOO NOISY, outside of 0.97–1.03" : ""}`,
    `docker run / Swarm: ${floor.toFixed(3)}`,
    ...figureLines(figures),
    `Berth's own stages explain ${(covered * 100).toFixed(1)} % of the wall time (goal: 95 %)`,
    reportLine("scale", figures, extra, versions),
  ];
}

function wallsOf({ arms, rounds }: Measured): number[][] {
  return arms.map((_, column) => rounds.map((round) => (round[column] as Sample).wallMs));
}

/** Per arm the median of each group. */
function cpuOf({ arms, rounds }: Measured): Record<string, number>[] {
  return arms.map((_, column) => {
    const samples = rounds.map((round) => (round[column] as Sample).cpu);
    const groups = [...new Set(samples.flatMap((cpu) => Object.keys(cpu)))];
    const middle = (group: string): number => median(samples.map((cpu) => cpu[group] ?? 0));
    return Object.fromEntries(groups.map((group) => [group, Math.round(middle(group) * 100) / 100]));
  });
}

function cpuLines(arms: readonly string[], cpu: readonly Record<string, number>[]): string[] {
  const groups = [...new Set(cpu.flatMap((one) => Object.keys(one)))];
  const rows = groups.map((group) => [`  ${group}`, ...cpu.map((one) => (one[group] ?? 0).toFixed(2))]);
  return tableLines(["  of", ...arms], rows);
}

function stageLines(samples: readonly Sample[]): string[] {
  const all = samples.map(({ explained }) => explained?.stages ?? []);
  const names = [...new Set(all.flatMap((stages) => stages.map(({ name }) => name)))];
  const wallMs = median(samples.map((sample) => sample.wallMs));
  const rows = names.map((name) => {
    const found = all.map((stages) => stages.find((stage) => stage.name === name));
    const shared = median(found.map((stage) => stage?.ms ?? 0));
    const each = median(found.map((stage) => stage?.medianMs ?? 0));
    return [`  ${name}`, shared.toFixed(0), `${((shared / wallMs) * 100).toFixed(1)} %`, each.toFixed(0)];
  });
  return tableLines(["  stage", "wall ms, shared", "share", "ms of one job"], rows);
}
