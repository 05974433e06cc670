/**
 * `berth bench scale`: from one replica to ninety on three engines until all answer, beside Swarm and bare parts.
 *
 *   Berth   scale by the API → auction → secrets, create, start, ready on each host → every edge
 *   Swarm   the same image as a service over the same engines, scaled by its API
 *   bare    `docker run`, as many at once per engine as turns out best; and create and start by the engines' API
 *
 * What counts is the same in all arms: each replica answered an HTTP request on its own address, asked from its host's
 * network namespace by the same checker. The arms take turns. Brings up a lab of its own and removes it.
 *
 *   node test/bench/scale.ts [--replicas 90] [--rounds 3] [--at-once 1,2,4,8] [--state-dir DIR] [--index 5] [--cache-dir DIR]
 */
import { parseArgs } from "node:util";
import type { LabPod } from "@berth/infra/lab/lab-pod.ts";
import { wholeFlag } from "./kit/flags.ts";
import { withLab } from "./kit/lab-run.ts";
import { Answering } from "./scale/answering.ts";
import { type Arm, appPath, appPort, type Sample, type Site, scaleTimeoutMs } from "./scale/arm.ts";
import { type BareWay, bareArm, bareNetworksUp } from "./scale/bare-arm.ts";
import { berthArm } from "./scale/berth-arm.ts";
import { type Measured, reportScale, type Try } from "./scale/report-scale.ts";
import { prepareEngines, sitesOf } from "./scale/sites.ts";
import { swarmArm } from "./scale/swarm-arm.ts";
import { cpuBetween, readCpu } from "./scale/used-cpu.ts";

/** Where a round takes longer, two have to do. */
const longRoundMs = 90_000;
const leastRounds = 2;

const { values: flags } = parseArgs({
  options: {
    replicas: { type: "string", default: "90" },
    rounds: { type: "string", default: "3" },
    "at-once": { type: "string", default: "1,2,4,8" },
    "state-dir": { type: "string", default: "/var/tmp/berth-bench-scale" },
    "cache-dir": { type: "string" },
    index: { type: "string", default: "5" },
    "postgres-port": { type: "string", default: "7761" },
    "nats-monitor-port": { type: "string", default: "7762" },
  },
});
const replicas = wholeFlag(flags, "replicas", 2, 300);
const rounds = wholeFlag(flags, "rounds", 1, 50);
const atOnceTried = flags["at-once"].split(",").map(Number);
if (!atOnceTried.every((count) => Number.isInteger(count) && count >= 1 && count <= 64))
  throw new Error(`--at-once must be whole numbers from 1 to 64 with commas, not ${flags["at-once"]}`);

const say = (line: string): void => console.error(line);

await withLab(
  {
    ...{ hosts: 3, flags, say },
    // The way back to one replica is not measured; it only has to be over before the next arm's turn.
    settings: { stackImage: false, serviceEnv: { scheduler: { BERTH_DRAIN_MS: "500" } } },
  },
  measure,
);

async function measure(labPod: LabPod, folder: string): Promise<void> {
  const sites = sitesOf(labPod.lab);
  const closing: (() => Promise<void>)[] = [];
  const kept = <A extends Arm>(arm: A): A => {
    closing.unshift(() => arm.close());
    return arm;
  };
  const run = (arm: Arm, when: string): Promise<Sample> =>
    scaleOnce(arm, when, { sites, runDir: labPod.pod.runDir });
  try {
    const engine = await prepareEngines(labPod.lab, sites);
    const berth = kept(await berthArm(labPod, sites, folder));
    const image = "berth-bench-scale:same";
    for (const site of sites)
      await site.engine.tell("POST", `/images/${berth.imageId}/tag?repo=berth-bench-scale&tag=same`);
    await bareNetworksUp(sites);
    const swarm = kept(await swarmArm(sites, image));
    await berth.scale(1);
    const tries: Try[] = [];
    const bestBare = (way: BareWay): Promise<Arm> =>
      bestOf(
        atOnceTried.map((atOnce) => kept(bareArm(sites, image, way, atOnce))),
        run,
        tries,
      );
    const bare = await bestBare("docker run");
    const arms = [berth, swarm, bare, await bestBare("API")];
    const same: [Sample, Sample] = [await run(bare, "A–A"), await run(bare, "A–A")];
    const measured: Sample[][] = [];
    for (let round = 1; round <= rounds; round += 1) {
      const startMs = performance.now();
      const samples: Sample[] = [];
      for (const arm of arms) samples.push(await run(arm, `${round}/${rounds}`));
      measured.push(samples);
      const tookMs = performance.now() - startMs;
      if (round < rounds && round >= leastRounds && tookMs > longRoundMs) {
        say(`a round takes ${Math.round(tookMs / 1000)} s: no more than ${round} of them`);
        break;
      }
    }
    const result: Measured = { arms: arms.map(({ name }) => name), rounds: measured, same, tries, replicas };
    for (const line of reportScale(result, { hosts: String(sites.length), engine })) console.log(line);
  } finally {
    for (const close of closing)
      await close().catch((error: unknown) => say(`cleaning up: ${String(error)}`));
    for (const { engine } of sites) engine.close();
  }
}

/** One pass each. @returns the fastest; the others hold nothing any more */
async function bestOf(
  arms: readonly Arm[],
  run: (arm: Arm, when: string) => Promise<Sample>,
  tries: Try[],
): Promise<Arm> {
  const passes: { readonly arm: Arm; readonly wallMs: number }[] = [];
  for (const arm of arms) {
    const { wallMs } = await run(arm, "concurrency");
    await arm.close();
    passes.push({ arm, wallMs });
    tries.push({ name: arm.name, wallMs });
  }
  const fastest = passes.reduce((best, one) => (one.wallMs < best.wallMs ? one : best));
  say(`best: ${fastest.arm.name}, ${Math.round(fastest.wallMs)} ms`);
  return fastest.arm;
}

/** One to all, and back to one again; only the way up is measured. */
async function scaleOnce(
  arm: Arm,
  when: string,
  given: { readonly sites: readonly Site[]; readonly runDir: string },
): Promise<Sample> {
  const answering = await Answering.start(given.sites, arm.network, appPort, appPath);
  try {
    await arm.scale(1);
    await answering.only(1, scaleTimeoutMs);
    const before = await readCpu(given.sites, given.runDir);
    const startedAtMs = Date.now();
    const startMs = performance.now();
    const [answeredMs] = await Promise.all([answering.all(replicas, scaleTimeoutMs), arm.scale(replicas)]);
    const wallMs = answeredMs - startMs;
    await arm.settled?.(replicas);
    const settledMs = arm.settled === undefined ? wallMs : performance.now() - startMs;
    const cpu = cpuBetween(before, await readCpu(given.sites, given.runDir));
    const explained = (await arm.explain?.(startedAtMs, wallMs)) ?? null;
    say(`${when}: ${arm.name} ${Math.round(wallMs)} ms, settled after ${Math.round(settledMs)} ms`);
    await arm.scale(1);
    await answering.only(1, scaleTimeoutMs);
    await arm.settled?.(1);
    return { wallMs, settledMs, cpu, explained };
  } finally {
    answering.close();
  }
}
