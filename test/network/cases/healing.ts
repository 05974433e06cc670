/**
 * Something happens to an environment's tunnel while a small datagram goes through it ten times a second, to another
 * container and back; what is found is how long nothing came back, against what Berth promises.
 */

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hostBerthDir } from "@berth/infra/lab/lab-pod.ts";
import { until } from "../../git/until.ts";
import { type Finding, level, within } from "../../hosts/case.ts";
import { Timeline } from "../../hosts/timeline.ts";
import { answeredShare, backAfterMs, gapsOf, longestGapMs } from "../beats.ts";
import { type Instance, instancesOf } from "../namespaces.ts";
import type { NetworkCase, NetworkStage } from "../network-case.ts";
import { beatFrom, serveIn } from "../probe.ts";
import type { Beats } from "../probe-order.ts";

const port = 9091;
const everyMs = 100;
const backTimeoutMs = 120_000;
const settleMs = 2000;

interface Given {
  readonly stage: NetworkStage;
  readonly near: Instance;
  readonly far: Instance;
  readonly tunnel: string;
  readonly timeline: Timeline;
  readonly wait: (ms: number) => Promise<void>;
}

export interface Harm {
  readonly name: string;
  readonly what: string;
  /** Longest silence after the harm is over, or the longest gap where the harm is one moment. */
  readonly promiseMs: number;
  /** @returns when the harm was over */
  act(given: Given): Promise<number>;
  /** Puts the lab as it was. */
  undo?(given: Given): Promise<void>;
}

const agentPattern = "services/agent/src/mai[n]";

const on = async ({ host }: Instance, script: string): Promise<string> => {
  const { stdout, stderr, code } = await host.exec(["sh", "-c", script]);
  // 1 is what pgrep says when there is nobody.
  if (code !== 0 && code !== 1) throw new Error(`${host.name}: ${script}: ${stderr.trim()}`);
  return stdout;
};

export const rotation: Harm = {
  name: "key rotation",
  what: "new keys on every host, under traffic",
  promiseMs: 6000,
  act: async ({ stage, timeline }) => {
    const keys = async () => (await stage.lab.network(stage.apps[0])).hosts.map(({ publicKey }) => publicKey);
    const before = await keys();
    const atMs = Date.now();
    await stage.lab.rotate(stage.apps[0]);
    await until(
      "every host to have another key",
      async () => (await keys()).every((key) => !before.includes(key)) || undefined,
      60_000,
    );
    timeline.mark("every host has another key");
    return atMs;
  },
};

export const tunnelKilled: Harm = {
  name: "wireguard killed",
  what: "kill -9 of the tunnel's process",
  promiseMs: 15_000,
  act: async ({ near, tunnel }) => {
    const atMs = Date.now();
    await on(near, `pkill -9 -f 'wireguard-go -f ${tunnel}'`);
    return atMs;
  },
};

export const agentKilled: Harm = {
  name: "agent killed",
  what: "kill -9 of the agent",
  promiseMs: 1000,
  act: async ({ near, timeline }) => {
    const atMs = Date.now();
    const before = (await on(near, `pgrep -f ${agentPattern}`)).trim();
    await on(near, `kill -9 ${before}`);
    await until(
      "the next agent",
      async () => {
        const now = (await on(near, `pgrep -f ${agentPattern}`)).trim();
        return now !== "" && now !== before ? true : undefined;
      },
      60_000,
    );
    timeline.mark("the next agent runs");
    return atMs;
  },
};

const lossTable = "berth_lab_loss";

export const loss: Harm = {
  name: "10 % loss",
  what: "every tenth packet between the hosts is dropped, both ways, for 20 s",
  promiseMs: 3000,
  act: async ({ far, wait, timeline }) => {
    const drop = "udp dport 21000-22999 numgen random mod 100 < 10 counter drop";
    const chain = (hook: string) =>
      `chain ${hook} {\n type filter hook ${hook} priority -400;\n ${drop}\n}\n`;
    await on(
      far,
      `printf '${`table inet ${lossTable} {\n${chain("input")}${chain("output")}}\n`}' | nft -f -`,
    );
    await wait(20_000);
    const counted = await on(far, `nft list table inet ${lossTable}`);
    const dropped = [...counted.matchAll(/packets (\d+)/g)].reduce(
      (sum, [, count]) => sum + Number(count),
      0,
    );
    if (dropped === 0) throw new Error("the lab dropped no packet, so nothing was lost");
    await on(far, `nft delete table inet ${lossTable}`);
    timeline.mark("the loss ends");
    return Date.now();
  },
};

export const oneWay: Harm = {
  name: "one-way cut",
  what: "the other host hears and is not heard, for 40 s",
  promiseMs: 15_000,
  act: async ({ far, wait, timeline }) => {
    await far.host.cut("out");
    await wait(40_000);
    await far.host.heal();
    timeline.mark("the cut ends");
    return Date.now();
  },
};

/** The second address of the other host; the lab's own ends with the number of the host. */
const movedAddress = (address: string): string =>
  address.replace(/\d+$/, (last) => String(Number(last) + 100));

async function moveTo({ far, near }: Given, from: string, to: string): Promise<void> {
  const path = join(hostBerthDir(far.host), "host.json");
  await on(far, `ip address delete ${from}/24 dev eth0; ip address add ${to}/24 dev eth0`);
  // What 'berth host address' does, of which the lab's hosts have no whole.
  const text = await readFile(path, "utf8");
  await writeFile(path, text.replaceAll(`"${from}"`, `"${to}"`));
  await on(far, `kill $(pgrep -f ${agentPattern})`);
  await on(near, `ip neigh flush dev eth0`);
}

export const moved: Harm = {
  name: "host address",
  what: "the other host has another address, as its operator tells with 'berth host address'",
  promiseMs: 30_000,
  act: async (given) => {
    const { address } = given.far.host;
    const atMs = Date.now();
    await moveTo(given, address, movedAddress(address));
    return atMs;
  },
  undo: async (given) => {
    const { address } = given.far.host;
    await moveTo(given, movedAddress(address), address);
  },
};

/** What is quick enough for a test. */
export const quickHarms: readonly Harm[] = [tunnelKilled, agentKilled];
export const allHarms: readonly Harm[] = [rotation, tunnelKilled, agentKilled, loss, oneWay, moved];

export const healingCase: NetworkCase = {
  name: "healing",
  title:
    "keys rotated, processes killed, loss, a one-way cut, another address: how long until it flows again",
  run: async (stage, length) => {
    const harms = length === "short" ? quickHarms : allHarms;
    const findings: Finding[] = [];
    for (const harm of harms) findings.push(...(await suffer(stage, harm)));
    return findings;
  },
};

export async function suffer(stage: NetworkStage, harm: Harm): Promise<Finding[]> {
  const [app] = stage.apps;
  const [near, far] = await instancesOf(stage.lab.lab.hosts, `berth.service=${app.id}`);
  if (near === undefined || far === undefined) throw new Error(`${app.name} does not run on two hosts`);
  const echo = await serveIn(far.netns, { tcp: [], udp: [port] });
  const beat = await beatFrom(near.netns, { to: far.address, port, everyMs });
  const wait = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
  await wait(settleMs);
  const timeline = new Timeline(`${harm.name}: ${harm.what}`);
  const tunnel = `wb-${app.environmentId.slice(-10)}`;
  const given = { stage, near, far, tunnel, timeline, wait };
  let beats: Beats = [];
  let overAtMs = Date.now();
  try {
    overAtMs = await harm.act(given);
    await isBack(given);
    await wait(settleMs);
  } finally {
    beats = await beat.end();
    await harm.undo?.(given);
    if (harm.undo !== undefined) await isBack(given);
    await echo.close();
  }
  for (const { startedAtMs, endedAtMs } of gapsOf(beats)) {
    timeline.mark("nothing comes back any more", startedAtMs);
    timeline.mark("it flows again", endedAtMs);
  }
  stage.say(timeline.draw());
  return judge(harm, beats, overAtMs, timeline.startedAtMs);
}

/** One that was harmed for a while is judged from the end of the harm; else by its longest silence. */
function judge({ name, promiseMs }: Harm, beats: Beats, overAtMs: number, startedAtMs: number): Finding[] {
  const last = beats.at(-1)?.atMs ?? overAtMs;
  const lasted = overAtMs - startedAtMs > 15_000;
  const silentMs = lasted ? backAfterMs(beats, overAtMs) : longestGapMs(beats);
  const share = answeredShare(beats, startedAtMs, overAtMs);
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
    ...(name === loss.name
      ? [level(`${name}: answered meanwhile`, "≥ 70 %", share >= 0.7, `${Math.round(share * 100)} %`)]
      : []),
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
