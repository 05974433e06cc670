/**
 * A host joins a hundred environments, one after the other, and leaves them: how long a join takes does not grow, and
 * nothing of them is left. Each one's app sleeps as soon as it has served: what grows is the number of networks that the hosts
 * are in, and not what three hosts and a control plane on the same cores have to run.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { LabHost } from "@berth/infra/lab/lab.ts";
import { hostBerthDir } from "@berth/infra/lab/lab-pod.ts";
import { changeHost } from "@berth/shared/contracts/http/api.ts";
import { callRoute } from "@berth/shared/contracts/http/client.ts";
import { estimate, median } from "../../bench/kit/statistics.ts";
import { type CpuTimes, readCpuTimes, stolenShare } from "../../bench/kit/stolen.ts";
import { until } from "../../git/until.ts";
import { type Finding, level } from "../../hosts/case.ts";
import { type ManyEnvironments, makeEnvironments } from "../many-environments.ts";
import type { NetworkCase, NetworkStage } from "../network-case.ts";

const counts = { short: 20, full: 100 };
const goal = 1.3;
/**
 * One environment every so often, from the first to the last. As fast as they run, the first joins would come beside other
 * deploys than the last, on a machine that is several hosts and a control plane.
 */
const everyMs = 3000;
/** So many joins are looked at together: one alone says more of the machine than of the join. */
const together = 10;
/**
 * Joins of a crowded host and of one with few in turns: what else the machine does is in both, what others on the same
 * hardware do to it too, which changes within minutes.
 */
const rounds = { short: 3, full: 21 };
const leaveTimeoutMs = 600_000;
/** Traces that are named; the others are counted. */
const mostNamed = 8;

export const environmentsCase: NetworkCase = {
  name: "environments",
  title: "hosts join a hundred environments and leave them: time of a join, and what is left",
  run: async (stage, length) => {
    const { lab, apps, say } = stage;
    const count = counts[length];
    const before = await traces(stage);
    // Two hosts are in each, so that each has a tunnel.
    const hosts = lab.lab.hosts.slice(0, 2);
    const names = hosts.map(({ name }) => name);
    const times = [readCpuTimes()];
    const note = (line: string): void => {
      times.push(readCpuTimes());
      say(line);
    };
    const made = await onlyOn(stage, names, () =>
      makeEnvironments(lab, apps[0], { count, instances: 2, asleep: true, atOnce: 1, everyMs, say: note }),
    );
    const ids = new Set(made.environments.map(({ id }) => id));
    const joins = await Promise.all(hosts.map((host) => joinTimes(host, ids)));
    for (let from = 0; from < count; from += together) {
      const ms = median(joins.flatMap((one) => one.slice(from, from + together)));
      const stolen = stolenShare(times[from] as CpuTimes, times[from + together] as CpuTimes) * 100;
      say(
        `joins ${from + 1} to ${from + together}: ${Math.round(ms)} ms, others had ${stolen.toFixed(0)} % of the cores`,
      );
    }
    const turns = await inTurns(stage, rounds[length]);
    await made.remove();
    await turns.remove();
    const left = await nothingLeft(stage, before, [...ids, ...turns.ids]);
    const findings: Finding[] = [
      level(
        "environments that were joined",
        `${count} by each of two hosts`,
        joins.every((one) => one.length === count),
        joins.map((one) => one.length).join(" and "),
      ),
      lastAndTenth(joins[0] ?? [], count),
      ...turns.findings(count),
      level(
        "left after their removal: interfaces, engine networks, rules, routes, processes, keys, names, table elements",
        "nothing",
        left.length === 0,
        left.length === 0 ? "nothing" : `${left.length}: ${left.slice(0, mostNamed).join("; ")}`,
      ),
    ];
    return findings;
  },
};

/** @param joins of one host on its way up, ms */
function lastAndTenth(joins: readonly number[], count: number): Finding {
  const [tenth, last] = [median(joins.slice(5, 5 + together)), median(joins.slice(-together))];
  const ratio = last / tenth;
  return {
    ...{
      what: `time of the ${count}th join / the 10th`,
      promise: `≤ ${goal}`,
      kind: "time",
      kept: ratio <= goal,
    },
    measured: `${ratio.toFixed(2)}: ${Math.round(last)} ms and ${Math.round(tenth)} ms`,
  };
}

/** Work goes to these hosts alone meanwhile. */
async function onlyOn<T>(
  { lab }: NetworkStage,
  names: readonly (string | undefined)[],
  work: () => Promise<T>,
): Promise<T> {
  const call = { apiUrl: lab.pod.apiUrl, token: lab.pod.adminToken };
  const others = lab.lab.hosts.map(({ name }) => name).filter((name) => !names.includes(name));
  const cordon = async (cordoned: boolean): Promise<void> => {
    for (const host of others) await callRoute(call, changeHost, { params: { host }, body: { cordoned } });
  };
  await cordon(true);
  return await work().finally(() => cordon(false));
}

/** One environment after the other, with one instance: on the first host, which is full of them, and on the last, by turns first. */
async function inTurns(stage: NetworkStage, count: number) {
  const { lab, apps } = stage;
  const hosts = [lab.lab.hosts[0], lab.lab.hosts.at(-1)] as [LabHost, LabHost];
  const made: ManyEnvironments[] = [];
  const took = async (host: LabHost): Promise<number> => {
    const given = { count: 1, instances: 1, asleep: true, say: () => undefined };
    const one = await onlyOn(stage, [host.name], () => makeEnvironments(lab, apps[0], given));
    made.push(one);
    return (await joinTimes(host, new Set(one.environments.map(({ id }) => id))))[0] ?? 0;
  };
  const pairs: { crowded: number; few: number }[] = [];
  // Where all hosts are full there is nothing to compare with.
  for (let i = 0; i < count && lab.lab.hosts.length > 2; i += 1) {
    const isFirst = i % 2 === 0;
    const before = isFirst ? 0 : await took(hosts[1]);
    const crowded = await took(hosts[0]);
    pairs.push({ crowded, few: isFirst ? await took(hosts[1]) : before });
  }
  return {
    ids: made.flatMap(({ environments }) => environments.map(({ id }) => id)),
    remove: async () => {
      for (const one of made) await one.remove();
    },
    findings: (beside: number): Finding[] => {
      if (pairs.length === 0) return [];
      const { median: ratio, low, high } = estimate(pairs.map(({ crowded, few }) => crowded / few));
      const [crowded, few] = [pairs.map((one) => one.crowded), pairs.map((one) => one.few)].map(median);
      const what = `time of joins ${beside + 1} to ${beside + pairs.length} of a host / joins 1 to ${pairs.length} of another, in turns`;
      const measured = `${ratio.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)}): ${Math.round(crowded ?? 0)} ms and ${Math.round(few ?? 0)} ms`;
      return [{ what, promise: `≤ ${goal}`, measured, kept: ratio <= goal, kind: "time" }];
    },
  };
}

/** In the order in which they were joined, from the agent's own log. */
async function joinTimes(host: LabHost, ids: ReadonlySet<string>): Promise<number[]> {
  const text = await readFile(join(host.supervisorDir, "logs", "agent.log"), "utf8");
  const stands = text
    .split("\n")
    .filter((line) => line.includes('"network.stands"'))
    .map((line) => JSON.parse(line) as { environmentId: string; tookMs: number })
    .filter(({ environmentId }) => ids.has(environmentId));
  // Two jobs may have waited for one join: the first of them has all of it.
  const first = new Map(stands.toReversed().map(({ environmentId, tookMs }) => [environmentId, tookMs]));
  return [...first.values()].reverse();
}

/** Everything that environments leave on a host, as lines. */
const look = [
  "ip -o link | grep -oE '(bn|wb)-[a-z0-9]+'",
  "docker network ls --filter label=berth.network=environment --format '{{.Name}}'",
  // Of its two ports the second process of a resolver has one or the other.
  "pgrep -a dnsmasq | grep -oE 'resolvers/[^ ]*' | sed 's/-530[12]//'",
  "pgrep -a wireguard-go | grep -oE 'wb-[a-z0-9]+'",
  "ls -d /run/berth/resolvers/*/*",
  "ls -d /var/run/wireguard/wb-*",
  "ip route show table 7421",
  "ip rule show | grep -c .",
  "nft list table inet berth | grep -oE '(bn|wb)-[a-z0-9]+' | sort -u",
  "test $(nft list table bridge berth | grep -oE 'veth[a-z0-9]+' | sort -u | wc -l) -le $(docker ps -q | wc -l) || echo 'ports without containers'",
  "iptables-save | grep -oE 'bn-[a-z0-9]+' | sort -u",
].join("; ");

async function traces({ lab }: NetworkStage): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = await Promise.all(
    lab.lab.hosts.map(async (host) => [host.name, await tracesOf(host)] as const),
  );
  return new Map(found);
}

async function tracesOf(host: LabHost): Promise<string[]> {
  const keys = `ls ${hostBerthDir(host)}/networks`;
  const { stdout } = await host.exec(["sh", "-c", `(${look}; ${keys}) 2>/dev/null`]);
  return stdout
    .split("\n")
    .filter((line) => line.trim() !== "")
    .sort();
}

/**
 * @returns what is there that was not there before, once it does not shrink any more. The stage's own apps, which may have
 *   been moved meanwhile, are not among it
 */
async function nothingLeft(
  stage: NetworkStage,
  before: ReadonlyMap<string, readonly string[]>,
  ids: readonly string[],
): Promise<string[]> {
  const ofAny = (environmentIds: readonly string[]) => {
    const keys = environmentIds.map((id) => id.slice(-10));
    return (line: string): boolean => keys.some((key) => line.includes(key));
  };
  const [ofThese, ofStage] = [ofAny(ids), ofAny(stage.apps.map(({ environmentId }) => environmentId))];
  const more = async (): Promise<string[]> =>
    [...(await traces(stage))].flatMap(([host, lines]) =>
      lines
        .filter((line) => before.get(host)?.includes(line) !== true && !ofStage(line))
        .map((line) => `${host}: ${line}`),
    );
  await until(
    "the hosts to leave",
    async () => ((await more()).some(ofThese) ? undefined : true),
    leaveTimeoutMs,
  ).catch(() => undefined);
  return await more();
}
