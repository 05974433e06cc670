/**
 * A host joins a hundred environments, one after the other, and leaves them: how long a join takes does not grow, and
 * nothing of them is left.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { LabHost } from "@berth/infra/lab/lab.ts";
import { hostBerthDir } from "@berth/infra/lab/lab-pod.ts";
import { changeHost } from "@berth/shared/contracts/http/api.ts";
import { callRoute } from "@berth/shared/contracts/http/client.ts";
import { median } from "../../bench/kit/statistics.ts";
import { until } from "../../git/until.ts";
import { type Finding, level } from "../../hosts/case.ts";
import { type ManyEnvironments, makeEnvironments } from "../many-environments.ts";
import type { NetworkCase, NetworkStage } from "../network-case.ts";

const counts = { short: 20, full: 100 };
const goal = 1.3;
/** Joins around the tenth and around the last: one alone says more of the machine than of the join. */
const around = 5;
/** Joins of a crowded and of an empty host in turns: what else the machine does is in both. */
const rounds = { short: 3, full: 7 };
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
    // Two hosts are in each, so that each has a tunnel; what is measured is the first one.
    const [first, second] = lab.lab.hosts.map(({ name }) => name);
    const made = await onlyOn(stage, [first, second], () =>
      makeEnvironments(lab, apps[0], { count, instances: 2, atOnce: 1, say }),
    );
    const joins = await joinTimes(lab.lab.host("h1"), new Set(made.environments.map(({ id }) => id)));
    const [tenth, last] = [median(joins.slice(5, 5 + around * 2)), median(joins.slice(-around * 2))];
    const ratio = last / tenth;
    for (let i = 9; i < joins.length; i += 10) say(`join ${i + 1}: ${Math.round(joins[i] ?? 0)} ms`);
    const turns = await inTurns(stage, rounds[length]);
    await made.remove();
    await turns.remove();
    const ids = [...made.environments.map(({ id }) => id), ...turns.ids];
    const left = await nothingLeft(stage, before, ids);
    const findings: Finding[] = [
      level("environments that were joined", String(count), joins.length === count, String(joins.length)),
      {
        what: `time of the ${count}th join / the 10th`,
        promise: `≤ ${goal}`,
        measured: `${ratio.toFixed(2)}: ${Math.round(last)} ms and ${Math.round(tenth)} ms`,
        kept: ratio <= goal,
        kind: "time",
      },
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

/** One environment after the other, with one instance: on the first host, which is full of them, and on the last. */
async function inTurns(stage: NetworkStage, count: number) {
  const { lab, apps } = stage;
  const hosts = [lab.lab.hosts[0], lab.lab.hosts.at(-1)] as [LabHost, LabHost];
  const made: ManyEnvironments[] = [];
  const took = async (host: LabHost): Promise<number> => {
    const given = { count: 1, instances: 1, say: () => undefined };
    const one = await onlyOn(stage, [host.name], () => makeEnvironments(lab, apps[0], given));
    made.push(one);
    return (await joinTimes(host, new Set(one.environments.map(({ id }) => id))))[0] ?? 0;
  };
  const pairs: { crowded: number; empty: number }[] = [];
  // Where all hosts are full there is nothing to compare with.
  for (let i = 0; i < count && lab.lab.hosts.length > 2; i += 1)
    pairs.push({ crowded: await took(hosts[0]), empty: await took(hosts[1]) });
  return {
    ids: made.flatMap(({ environments }) => environments.map(({ id }) => id)),
    remove: async () => {
      for (const one of made) await one.remove();
    },
    findings: (beside: number): Finding[] => {
      if (pairs.length === 0) return [];
      const ratio = median(pairs.map(({ crowded, empty }) => crowded / empty));
      const [crowded, empty] = [pairs.map((one) => one.crowded), pairs.map((one) => one.empty)].map(median);
      const measured = `${ratio.toFixed(2)}: ${Math.round(crowded ?? 0)} ms and ${Math.round(empty ?? 0)} ms`;
      return [
        {
          ...{ what: `a join beside ${beside} environments / beside few, in turns`, promise: `≤ ${goal}` },
          ...{ measured, kept: ratio <= goal, kind: "time" },
        },
      ];
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
  "pgrep -a dnsmasq | grep -oE 'resolvers/[^ ]*'",
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

/** @returns what is there that was not there before, once it does not shrink any more */
async function nothingLeft(
  stage: NetworkStage,
  before: ReadonlyMap<string, readonly string[]>,
  ids: readonly string[],
): Promise<string[]> {
  const more = async (): Promise<string[]> =>
    [...(await traces(stage))].flatMap(([host, lines]) =>
      lines.filter((line) => before.get(host)?.includes(line) !== true).map((line) => `${host}: ${line}`),
    );
  const keys = ids.map((id) => id.slice(-10));
  const ofThese = (line: string): boolean => keys.some((key) => line.includes(key));
  await until(
    "the hosts to leave",
    async () => ((await more()).some(ofThese) ? undefined : true),
    leaveTimeoutMs,
  ).catch(() => undefined);
  return await more();
}
