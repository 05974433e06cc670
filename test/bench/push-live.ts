/**
 * `berth bench push-live`: how long from `git push` to the first 200 of the new commit, beside bare scripts.
 *
 *   Berth        git push → build → registry → auction → container on another engine → edge → 200
 *   bare script  the same steps by git, docker and a shell, on the same engines
 *   on the spot  a post-receive hook that builds and runs where it is, as Dokku does
 *
 * The arms take turns; a figure is the median of the ratios of neighbours. Brings up a lab of its own and removes it.
 *
 *   node test/bench/push-live.ts [--pairs 7] [--state-dir DIR] [--index 7] [--cache-dir DIR] [--keep]
 */
import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type LabPod, labPodDown, labPodUp } from "@berth/infra/lab/lab-pod.ts";
import { type Figure, figureLines, reportLine } from "./kit/report.ts";
import { estimate, median, ratios } from "./kit/statistics.ts";
import { tableLines } from "./kit/table.ts";
import type { Arm, Sample } from "./push-live/arm.ts";
import { startBareRegistry } from "./push-live/bare-registry.ts";
import { type BareGiven, registryArm, spotArm } from "./push-live/bare-scripts.ts";
import { berthArm } from "./push-live/berth-arm.ts";

/** Outside of this the machine is too noisy for its own figures. */
const quiet = { low: 0.97, high: 1.03 };
const sameArmPairs = 3;

const { values: flags } = parseArgs({
  options: {
    pairs: { type: "string", default: "7" },
    "state-dir": { type: "string", default: "/var/tmp/berth-bench" },
    "cache-dir": { type: "string" },
    index: { type: "string", default: "7" },
    keep: { type: "boolean", default: false },
  },
});
const stateDir = flags["state-dir"];
const pairs = Number(flags.pairs);
if (!Number.isInteger(pairs) || pairs < 1)
  throw new Error(`--pairs must be a whole number, not ${flags.pairs}`);

const say = (line: string): void => console.error(line);
const print = (line: string): void => console.log(line);

await main();

async function main(): Promise<void> {
  const folder = join(stateDir, "bench");
  try {
    const labPod = await labPodUp({
      hosts: 2,
      stateDir,
      index: Number(flags.index),
      ...(flags["cache-dir"] === undefined ? {} : { cacheDir: flags["cache-dir"] }),
      settings: {
        ...{ postgresPort: 7743, natsMonitorPort: 7744 },
        // An old replica's end is not measured; it only has to be over before the next arm's turn.
        serviceEnv: { scheduler: { BERTH_DRAIN_MS: "1000" } },
      },
      environment: {},
      progress: say,
      writeCredentials: false,
    });
    await mkdir(folder, { recursive: true });
    await measure(labPod, folder);
  } finally {
    if (!flags.keep) {
      await labPodDown(stateDir, say);
      if (existsSync(folder)) await rm(folder, { recursive: true, force: true });
    }
  }
}

async function measure(labPod: LabPod, folder: string): Promise<void> {
  const registry = await startBareRegistry(labPod, join(folder, "registry"));
  try {
    const { lab, pod } = labPod;
    const other = lab.host("h1");
    const given: BareGiven = {
      folder,
      buildEngine: `unix://${pod.dockerSocket}`,
      registry: registry.address,
      run: { engine: `unix://${other.dockerSocket}`, address: other.address },
      machineAddress: lab.machineAddress,
    };
    const bare = await registryArm(given);
    const arms = [await berthArm(labPod, folder), bare, await spotArm(given)];
    // The first deploys bring the base image to every engine; who comes first would pay for all.
    for (const arm of [...arms, ...arms]) await deploy(arm, "warm-up");
    const same: [Sample, Sample][] = [];
    for (let i = 0; i < sameArmPairs; i += 1)
      same.push([await deploy(bare, "A–A"), await deploy(bare, "A–A")]);
    const rounds: Sample[][] = [];
    for (let i = 0; i < pairs; i += 1) {
      const round: Sample[] = [];
      for (const arm of arms) round.push(await deploy(arm, `${i + 1}/${pairs}`));
      rounds.push(round);
    }
    report(arms, rounds, same, labPod);
  } finally {
    await registry.close();
  }
}

async function deploy(arm: Arm, when: string): Promise<Sample> {
  const sample = await arm.deploy();
  say(`${when}: ${arm.name} ${Math.round(sample.wallMs)} ms`);
  return sample;
}

function report(
  arms: readonly Arm[],
  rounds: readonly (readonly Sample[])[],
  same: readonly (readonly [Sample, Sample])[],
  labPod: LabPod,
): void {
  const samples = arms.map((_, column) => rounds.map((round) => round[column] as Sample));
  const walls = samples.map((list) => list.map(({ wallMs }) => wallMs));
  const [berth = [], bare = [], spot = []] = walls;
  print("git push → first 200 of the new commit, one replica; all in series\n");
  const armRow = (name: string, list: readonly number[]): string[] => {
    const sorted = list.toSorted((a, b) => a - b);
    return [name, median(list), sorted[0] ?? 0, sorted.at(-1) ?? 0].map((value) =>
      typeof value === "number" ? Math.round(value).toString() : value,
    );
  };
  const wallRows = arms.map((arm, column) => armRow(arm.name, walls[column] ?? []));
  for (const line of tableLines(["arm, ms", "median", "least", "most"], wallRows)) print(line);
  samples.forEach((list, column) => {
    print(`\n${arms[column]?.name ?? ""}: where the time goes`);
    for (const line of stageLines(list)) print(line);
  });
  const sameRatio = estimate(same.map(([first, second]) => second.wallMs / first.wallMs));
  const noisy = sameRatio.median < quiet.low || sameRatio.median > quiet.high;
  print(
    `\nA–A: ${sameRatio.median.toFixed(3)} (${same.length} pairs of the bare script with itself)${noisy ? ": TOO NOISY, outside of 0.97–1.03" : ""}`,
  );
  const figures: Figure[] = [
    {
      ...{ id: "D1", what: "Berth / bare script", goal: 1.1, better: "lower", kind: "floor" },
      estimate: estimate(ratios(berth, bare)),
    },
    {
      ...{ id: "D4", what: "Berth / on the spot", goal: 1.3, better: "lower", kind: "floor" },
      estimate: estimate(ratios(berth, spot)),
    },
  ];
  for (const line of figureLines(figures)) print(line);
  const covered = median((samples[0] ?? []).map(({ coveredShare }) => coveredShare));
  print(`Berth's own stages explain ${(covered * 100).toFixed(1)} % of the wall time (goal: 95 %)`);
  const extra = {
    sameArm: { value: sameRatio.median, tooNoisy: noisy },
    medianMs: Object.fromEntries(
      arms.map((arm, column) => [arm.name, Math.round(median(walls[column] ?? []))]),
    ),
    coveredShare: Math.round(covered * 1000) / 1000,
  };
  const lab = { hosts: String(labPod.lab.hosts.length) };
  print(reportLine("push-live", figures, extra, lab));
}

/** Medians per stage over all deploys of one arm, in the order in which they first come. */
function stageLines(samples: readonly Sample[]): string[] {
  const names = [...new Set(samples.flatMap(({ spans }) => spans.map(({ name }) => name)))];
  const wallMs = median(samples.map((sample) => sample.wallMs));
  const rows = names.map((name) => {
    const values = samples.map(({ spans }) =>
      spans.filter((span) => span.name === name).reduce((sum, { ms }) => sum + ms, 0),
    );
    const middle = median(values);
    return [`  ${name}`, middle.toFixed(0), `${((middle / wallMs) * 100).toFixed(1)} %`];
  });
  return tableLines(["  stage", "ms", "share"], rows);
}
