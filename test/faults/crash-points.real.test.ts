/**
 * SIGKILL in the middle of a deploy: of every service at every named point, of every part the road stands on, of all
 * at once, and the loss of JetStream's store. Each time the deploy must come to its end by itself.
 *
 * `BERTH_FAULTS`: `quick` takes one point of each service, `each` (the default) every point and part once, `all` also
 * the later passes of a point; any other text is a regular expression, and the cases that it matches are taken.
 * `BERTH_FAULTS_STATE_DIR` names a pod that is kept from run to run.
 */
import { existsSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  crashCases,
  everyService,
  inTurn,
  type Moment,
  partCases,
  quickPoints,
  type RoadService,
  repeatedCases,
} from "./cases.ts";
import { type FaultPod, startFaultPod } from "./fault-pod.ts";
import { problems, startTimes } from "./settled.ts";
import { get, Traffic } from "./traffic.ts";
import { until } from "./until.ts";

const endDeadlineMs = 90_000;
const settleDeadlineMs = 60_000;
vi.setConfig({ testTimeout: 200_000 });

const keptDir = process.env.BERTH_FAULTS_STATE_DIR;
const wanted = process.env.BERTH_FAULTS ?? "each";

let pod: FaultPod;
let traffic: Traffic;
let serving = "";
let pushes = 0;
let instances = 1;
const table: string[] = [];

beforeAll(async () => {
  pod = await startFaultPod(keptDir);
  await deploys("plain push");
  traffic = new Traffic(pod.service.site, "/version");
}, 400_000);

afterAll(async () => {
  console.log(["", "   case, end, push to end, to rest, visitor", ...table].join("\n"));
  await traffic?.stop();
  await pod?.close(keptDir !== undefined);
}, 120_000);

interface End {
  readonly deploy_id: string;
  readonly state: string;
  readonly reason: string | null;
}

interface Strike {
  /** Runs while the push is under way; ends when what it killed is back. */
  readonly strike?: (commit: string) => Promise<void>;
  readonly cutsVisitors?: boolean;
  /** The app ends at its start: the deploy must fail, and what was served stays. */
  readonly broken?: boolean;
}

/** Pushes a new version, strikes while it is under way, and waits for the end and for rest. */
async function deploys(
  name: string,
  { strike, cutsVisitors = false, broken = false }: Strike = {},
): Promise<void> {
  const startedAtMs = performance.now();
  pushes += 1;
  const version = `v${pushes}`;
  // After a case that failed, the next one begins with what is there.
  if (pushes > 1) serving = (await get(pod.service.site, "/version")).body;
  const commit = await pod.app.commit(version, broken);
  const push = pod.push();
  try {
    await strike?.(commit);
  } catch (error) {
    throw new Error(`${name}: ${String(error)}\n${(await Promise.race([push, notYet()])).output}`);
  }
  const end = await until("the deploy's end", () => endOf(commit), endDeadlineMs);
  const endMs = performance.now() - startedAtMs;
  const { output } = await push;
  if (broken) expect(end.state, output).toBe("failed");
  if (end.state === "succeeded") serving = version;
  else expect(end.reason, `${name}: a deploy that fails says why\n${output}`).toBeTruthy();
  await rests(end.state === "succeeded" ? end.deploy_id : null);
  const reason = end.reason === null ? "" : `: ${end.reason.split("\n")[0]}`;
  tell(name, `${end.state}${reason}`, endMs, startedAtMs, cutsVisitors);
}

async function endOf(commit: string): Promise<End | undefined> {
  const rows = await pod.query<End>(
    "select deploy_id, state, reason from scheduler.deploy_overview where service_id = $1 and commit = $2 and final",
    [pod.service.id, commit],
  );
  return rows[0];
}

async function notYet(): Promise<{ output: string }> {
  return { output: "the push goes on" };
}

async function rests(deployId: string | null): Promise<void> {
  const look = async (): Promise<true | string[]> => {
    const found = await problems(pod, { deployId, version: serving, instances });
    return found.length === 0 ? true : found;
  };
  await until("the pod to come to rest", look, settleDeadlineMs, 100);
}

function tell(name: string, end: string, endMs: number, startedAtMs: number, cutsVisitors = false): void {
  const seen = traffic?.take() ?? { requests: 0, failures: [] };
  const restMs = performance.now() - startedAtMs;
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`.padStart(7);
  const visitor = `${seen.failures.length} of ${seen.requests} requests failed`;
  table.push(`   ${name.padEnd(46)} ${end}  ${seconds(endMs)} ${seconds(restMs)}  ${visitor}`);
  console.log(table.at(-1));
  if (!cutsVisitors) expect(seen.failures, `${name}: requests failed`).toEqual([]);
}

function chosen<C extends { readonly point: string }>(cases: readonly C[]): C[] {
  if (wanted === "all" || wanted === "each") return [...cases];
  if (wanted === "quick") return cases.filter(({ point }) => quickPoints.has(point));
  return cases.filter(({ point }) => new RegExp(wanted).test(point));
}

// A group without a case would count as a mistake.
const group = (cases: readonly unknown[]) => describe.skipIf(cases.length === 0);

group(chosen(crashCases))("a service is killed at a named point", () => {
  test.each(inTurn(chosen(crashCases)))("$service at $point", async ({ service, point, refused }) => {
    const name = `${service} at ${point}`;
    await pod.calm(service);
    const before = await pod.process(service);
    pod.arm(service, point);
    const strike = async (): Promise<void> => {
      await until(
        `${service} to die at ${point}`,
        async () => !pod.isArmed(service) || undefined,
        60_000,
        10,
      );
      await pod.diedAndReturned(before);
    };
    try {
      if (refused === true) await refuses(name, strike);
      else await deploys(name, { strike });
    } finally {
      pod.disarm(service);
    }
  });
});

group(chosenRepeats())("a service is killed at a later pass of a point", () => {
  test.each(chosenRepeats())("$service at $point, time $nth", async ({ service, point, nth }) => {
    await pod.calm(service);
    const before = await pod.process(service);
    pod.arm(service, point, nth);
    let came = true;
    const strike = async (commit: string): Promise<void> => {
      came = await diesOrEnds(service, commit);
      if (came) await pod.diedAndReturned(before);
    };
    try {
      await deploys(`${service} at ${point}, time ${nth}`, { strike });
    } finally {
      pod.disarm(service);
    }
    if (!came) table.push(`${table.pop()}, did not come this often`);
  });
});

/** @returns false when the deploy is over, the old instance is gone, and the service still lives */
async function diesOrEnds(service: RoadService, commit: string): Promise<boolean> {
  const look = async (): Promise<{ died: boolean } | undefined> => {
    if (!pod.isArmed(service)) return { died: true };
    const end = await endOf(commit);
    if (end === undefined) return undefined;
    const wanted = { deployId: end.deploy_id, version: `v${pushes}`, instances };
    const atRest = (await problems(pod, wanted)).length === 0;
    if (atRest) pod.disarm(service);
    return atRest ? { died: false } : undefined;
  };
  const { died } = await until(`${service} to die, or the deploy to end`, look, endDeadlineMs, 20);
  return died;
}

/** The push fails in the client and nothing has changed. */
async function refuses(name: string, strike: () => Promise<void>): Promise<void> {
  const startedAtMs = performance.now();
  const commit = await pod.app.commit("never served");
  const push = pod.push();
  await strike();
  expect((await push).ok).toBe(false);
  await rests(null);
  const made = await pod.query("select 1 from git.pushes where commit = $1", [commit]);
  expect(made, "a refused push made a deploy").toEqual([]);
  tell(name, "refused", performance.now() - startedAtMs, startedAtMs);
}

group(chosenParts())("a part is killed", () => {
  test.for(chosenParts())("$what while $at", async ({ what, kill, at, cutsVisitors }, context) => {
    // Where the machine had an engine before Berth came, that one builds, and it is not ours to kill.
    if (kill.includes("dockerd") && !(await pod.has("dockerd"))) return context.skip();
    const strike = async (commit: string): Promise<void> => {
      await comesTo(commit, at);
      const streams = kill.includes("jetstream") ? forgetJetStream(pod) : [];
      const names = kill.map((one) => (one === "jetstream" ? "nats" : one));
      for (const before of await pod.killAll(names)) await pod.diedAndReturned(before);
      await streamsAreBack(streams);
    };
    await deploys(`${what} while ${at}`, { strike, cutsVisitors: cutsVisitors === true });
  });
});

function chosenRepeats(): typeof repeatedCases {
  if (wanted === "all") return repeatedCases;
  if (wanted === "quick" || wanted === "each") return [];
  return repeatedCases.filter(({ point, nth }) => new RegExp(wanted).test(`${point}, time ${nth}`));
}

describe("an app that cannot start", () => {
  test.skipIf(wanted === "quick")("fails with its reason, though every service is killed", async () => {
    const strike = async (commit: string): Promise<void> => {
      await comesTo(commit, "starting");
      for (const before of await pod.killAll(everyService)) await pod.diedAndReturned(before);
    };
    await deploys("every service, an app that cannot start", { strike, broken: true });
  });
});

function chosenParts(): typeof partCases {
  if (wanted === "all" || wanted === "each") return partCases;
  if (wanted === "quick")
    return partCases.filter(({ what, at }) => what === "JetStream's store" && at === "starting");
  return partCases.filter(({ what, at }) => new RegExp(wanted).test(`${what} while ${at}`));
}

const moments: Record<Moment, string> = {
  building: "select 1 from builder.builds where commit = $1 and state = 'running'",
  starting: `select 1 from scheduler.jobs j join git.pushes p using (deploy_id)
              where p.commit = $1 and j.state in ('awarded', 'accepted', 'starting')`,
};

async function comesTo(commit: string, moment: Moment): Promise<void> {
  const look = async (): Promise<true | undefined> =>
    (await pod.query(moments[moment], [commit])).length > 0 ? true : undefined;
  await until(`the push to be ${moment}`, look, 60_000, 5);
}

describe("Show 5: the agent is killed", () => {
  test("not one container restarts and not one request fails, however often", async () => {
    await deploys("plain push");
    await pod.calm("agent");
    instances = 3;
    await pod.scale(instances);
    await rests(null);
    const before = await startTimes(pod);
    expect(before.length).toBe(instances);
    traffic.take();
    const startedAtMs = performance.now();
    for (let kills = 0; kills < 3; kills++) await pod.diedAndReturned(await pod.kill("agent"));
    await rests(null);
    expect(await startTimes(pod)).toEqual(before);
    const ms = performance.now() - startedAtMs;
    tell("agent, three times, with three instances", "the same three containers", ms, startedAtMs);
    instances = 1;
    await pod.scale(instances);
    await deploys("plain push after all");
  });
});

/**
 * Moved away under the running server, which is killed next: the one after it begins with an empty store.
 * @returns the folders of the streams that are lost
 */
function forgetJetStream({ stateDir }: FaultPod): string[] {
  const store = join(stateDir, "nats", "jetstream", "jetstream");
  const streams = readdirSync(store).flatMap((account) =>
    readdirSync(join(store, account, "streams")).map((stream) => join(store, account, "streams", stream)),
  );
  renameSync(store, `${store}.lost`);
  rmSync(`${store}.lost`, { recursive: true, force: true });
  return streams;
}

/** Whoever misses a stream declares it again. */
async function streamsAreBack(streams: readonly string[]): Promise<void> {
  const look = async (): Promise<true | string[]> => {
    const missing = streams.filter((stream) => !existsSync(stream));
    return missing.length === 0 ? true : missing;
  };
  await until("the streams to be declared again", look, 30_000);
}
