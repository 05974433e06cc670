/**
 * Something happens to an environment's tunnel while a small datagram goes through it ten times a second, to another
 * container and back; what is found is how long nothing came back, against what Berth promises.
 */
import { until } from "../../git/until.ts";
import { type Finding, level, within } from "../../hosts/case.ts";
import { Timeline } from "../../hosts/timeline.ts";
import { backAfterMs, gapsOf, longestGapMs } from "../beats.ts";
import { instancesOf } from "../namespaces.ts";
import type { NetworkCase, NetworkStage } from "../network-case.ts";
import { beatFrom, serveIn } from "../probe.ts";
import type { Beats } from "../probe-order.ts";
import { clockSetBack, clocksSetBack } from "./clock-harms.ts";
import type { Given, Harm, Harmed } from "./harm.ts";
import { agentKilled, moved, oneWay, rotation, tunnelKilled } from "./harms.ts";
import { loss } from "./loss-harm.ts";

const port = 9091;
const everyMs = 100;
const backTimeoutMs = 120_000;
const settleMs = 2000;

/** What is quick enough for a test. */
export const quickHarms: readonly Harm[] = [tunnelKilled, agentKilled];
export const allHarms: readonly Harm[] = [
  ...[rotation, tunnelKilled, agentKilled, loss, oneWay],
  ...[clockSetBack, clocksSetBack, moved],
];

export const healingCase: NetworkCase = {
  name: "healing",
  title:
    "keys rotated, processes killed, loss, a one-way cut, clocks set back, another address: how long until it flows again",
  run: async (stage, length) => {
    const harms = length === "short" ? quickHarms : allHarms;
    const findings: Finding[] = [];
    for (const harm of harms) findings.push(...(await suffer(stage, harm)));
    return findings;
  },
};

export async function suffer(stage: NetworkStage, harm: Harm): Promise<Finding[]> {
  const [app] = stage.apps;
  const instances = await instancesOf(stage.lab.lab.hosts, `berth.service=${app.id}`);
  const [near] = instances;
  const far = instances.find(({ host }) => host !== near?.host);
  if (near === undefined || far === undefined) throw new Error(`${app.name} does not run on two hosts`);
  const echo = await serveIn(far.netns, { tcp: [], udp: [port] });
  const beat = await beatFrom(near.netns, { to: far.address, port, everyMs });
  const wait = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
  await wait(settleMs);
  const timeline = new Timeline(`${harm.name}: ${harm.what}`);
  const tunnel = `wb-${app.environmentId.slice(-10)}`;
  const given: Given = { stage, near, far, tunnel, timeline, wait };
  let beats: Beats = [];
  let harmed: Harmed = { overAtMs: Date.now() };
  try {
    harmed = await harm.act(given);
    await isBack(given);
    await wait(settleMs);
  } finally {
    beats = await beat.end();
    await harm.undo?.(given);
    if (harm.undo !== undefined) await isBack(given);
    await echo.close();
  }
  const more = (await harmed.afterwards?.(beats)) ?? [];
  for (const { startedAtMs, endedAtMs } of gapsOf(beats)) {
    timeline.mark("nothing comes back any more", startedAtMs);
    timeline.mark("it flows again", endedAtMs);
  }
  stage.say(timeline.draw());
  return [...judge(harm, beats, harmed.overAtMs, timeline.startedAtMs), ...more];
}

/** One that was harmed for a while is judged from the end of the harm; else by its longest silence. */
function judge({ name, promiseMs }: Harm, beats: Beats, overAtMs: number, startedAtMs: number): Finding[] {
  const last = beats.at(-1)?.atMs ?? overAtMs;
  const lasted = overAtMs - startedAtMs > 15_000;
  const silentMs = lasted ? backAfterMs(beats, overAtMs) : longestGapMs(beats);
  return [
    level(
      `${name}: the way to the other container at the end`,
      "open",
      backAfterMs(beats, last - settleMs / 2) !== null,
      `${beats.filter(({ tookMs }) => tookMs !== null).length} of ${beats.length} answered`,
    ),
    within(
      `${name}: ${lasted ? "from its end until" : "silence until"} it flows`,
      silentMs ?? backTimeoutMs,
      promiseMs,
    ),
  ];
}

async function isBack({ near, far }: Given): Promise<void> {
  await until(
    "the way between the containers",
    async () => {
      const probe = await beatFrom(near.netns, { to: far.address, port, everyMs });
      await new Promise((done) => setTimeout(done, 500));
      const beats = await probe.end();
      return beats.slice(0, -2).every(({ tookMs }) => tookMs !== null) ? true : undefined;
    },
    backTimeoutMs,
  );
}
