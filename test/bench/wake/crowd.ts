/** W4 and W5: what a thousand sleepers cost those who wake, and the platform while nobody asks. */
import { setTimeout as delay } from "node:timers/promises";
import type { LabPod } from "@berth/infra/lab/lab-pod.ts";
import { sleepService } from "@berth/shared/contracts/http/api.ts";
import { callRoute } from "@berth/shared/contracts/http/client.ts";
import type { Figure } from "../kit/report.ts";
import { estimate } from "../kit/statistics.ts";
import { tableLines } from "../kit/table.ts";
import type { Site } from "../scale/arm.ts";
import { HostAsker } from "./ask-host.ts";
import { type Dozer, makeDozers, untilAsleep, untilAwake } from "./many-sleepers.ts";
import { platformShares, type Shares, wholeShare } from "./platform-cpu.ts";
import type { Sleeper } from "./sleeper.ts";

const few = 10;
/** The goal of W5 is for so many. */
const goalSleepers = 950;
/** Longer than the longest grace after which what rests is looked at less often. */
const restMs = 30_000;

export interface CrowdGiven {
  readonly labPod: LabPod;
  readonly sites: readonly Site[];
  readonly sleeper: Sleeper;
  readonly sleepers: number;
  /** Wakes beside few and beside many, each of another service. */
  readonly wakes: number;
  readonly cpuSeconds: number;
  readonly only: ReadonlySet<string>;
  readonly say: (line: string) => void;
}

export interface CrowdResult {
  readonly figures: readonly Figure[];
  readonly details: Readonly<Record<string, unknown>>;
}

/** The sleeper itself sleeps meanwhile: the pod rests as a whole. */
export async function measureCrowd(given: CrowdGiven): Promise<CrowdResult> {
  const { sleepers, only, say, sleeper, labPod, cpuSeconds, sites } = given;
  const many = { labPod, say, db: sleeper.db, org: sleeper.org, templateId: sleeper.serviceId };
  const shares = async (): Promise<Shares> => {
    await delay(restMs);
    return await platformShares(sites, labPod.pod.runDir, cpuSeconds);
  };
  const askers = new Map(sites.map(({ name, netnsPath }) => [name, new HostAsker(netnsPath)]));
  const [figures, details]: [Figure[], Record<string, unknown>] = [[], {}];
  try {
    await sleeper.order("stopped");
    await sleeper.until("asleep");
    const first = await makeDozers(many, few);
    const before = only.has("W5") ? await shares() : null;
    const beside = only.has("W4") ? await wakeTimes(given, askers, first) : [];
    const all = [...first, ...(await makeDozers(many, sleepers - few))];
    if (before !== null) {
      const { figure, shares: both } = cpuFigure(before, await shares(), all.length, say);
      figures.push(figure);
      details.W5 = both;
    }
    if (only.has("W4")) {
      const crowded = await wakeTimes(given, askers, all);
      figures.push(wakeFigure(crowded, beside, all.length));
      details.W4 = { few: beside.map(Math.round), many: crowded.map(Math.round) };
    }
  } finally {
    for (const asker of askers.values()) asker.close();
  }
  return { figures, details };
}

/** One wake after the other, of services that were not woken last; each sleeps again before the next. */
async function wakeTimes(
  { wakes, labPod, sleeper: { db, org }, say }: CrowdGiven,
  askers: ReadonlyMap<string, HostAsker>,
  dozers: readonly Dozer[],
): Promise<number[]> {
  const call = { apiUrl: labPod.pod.apiUrl, token: labPod.pod.adminToken, timeoutMs: 30_000 };
  const port = labPod.pod.settings.edgePort;
  const times: number[] = [];
  for (let i = 0; i < wakes; i++) {
    const dozer = dozers[Math.floor((i * dozers.length) / wakes + i) % dozers.length] as Dozer;
    const asker = askers.get(dozer.host);
    if (asker === undefined) throw new Error(`no asker on ${dozer.host}`);
    const asked = { address: "127.0.0.1", port, host: dozer.hostname, count: 1 };
    const { firstMs, failed } = await asker.do({ op: "edge", ...asked });
    if (Object.keys(failed).length > 0) throw new Error(`a wake was lost: ${JSON.stringify(failed)}`);
    times.push(firstMs);
    await untilAwake(db, [dozer.serviceId]);
    const [environment, service] = await nameOf(db, dozer.serviceId);
    await callRoute(call, sleepService, {
      params: { org, environment, service },
      body: { level: "stopped" },
    });
    await untilAsleep(db, [dozer.serviceId]);
  }
  say(`${wakes} wakes beside ${dozers.length}: p99 ${p99(times).toFixed(0)} ms`);
  return times;
}

async function nameOf(db: Sleeper["db"], id: string): Promise<readonly [string, string]> {
  const { rows } = await db.query<{ environment: string; service: string }>(
    "select e.name as environment, s.name as service from api.services s join api.environments e on e.id = s.environment_id where s.id = $1",
    [id],
  );
  return [rows[0]?.environment ?? "", rows[0]?.service ?? ""];
}

function wakeFigure(crowded: readonly number[], beside: readonly number[], count: number): Figure {
  return {
    ...{
      id: "W4",
      what: `p99 of ${crowded.length} wakes beside ${count} sleepers / beside ${few}`,
      goal: 1.5,
    },
    ...{ better: "lower", kind: "self", estimate: estimate([p99(crowded) / p99(beside)]) },
  };
}

function cpuFigure(before: Shares, after: Shares, count: number, say: (line: string) => void) {
  const names = Object.keys(after).toSorted();
  const rows = names.map((name) => [
    name,
    ...[before[name] ?? 0, after[name] ?? 0, (after[name] ?? 0) - (before[name] ?? 0)].map((share) =>
      share.toFixed(4),
    ),
  ]);
  const head = ["share of one core", `${few} asleep`, `${count} asleep`, "more"];
  for (const line of tableLines(head, rows)) say(line);
  const [least, most] = [wholeShare(before), wholeShare(after)];
  say(`the whole platform: ${least.toFixed(4)} of a core beside ${few}, ${most.toFixed(4)} beside ${count}`);
  const more = ((most - least) * goalSleepers) / (count - few);
  const figure: Figure = {
    ...{
      id: "W5",
      what: `cores that ${goalSleepers} sleepers add, from ${count - few}; engines included`,
      goal: 0.01,
    },
    ...{ better: "lower", kind: "self", estimate: estimate([more]) },
  };
  return { figure, shares: { before, after, whole: { before: least, after: most } } };
}

function p99(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(0.99 * values.length) - 1] ?? 0;
}
