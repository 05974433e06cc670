/**
 * Who reaches whom: every container of two environments asks every other one and everything around them, in every
 * direction, over TCP, UDP, ICMP and IPv6, by address and by name; what a host reaches proves that the target answers.
 *
 * Containers are entered with root's rights, so that they try more than a tenant can: they have IPv6 addresses and
 * routes that no tenant could set, and the hosts' bridges are given some too.
 */
import { command } from "@berth/infra/lab/command.ts";
import { tableLines } from "../bench/kit/table.ts";
import { type Instance, instancesOf, netnsOf } from "./namespaces.ts";
import type { NetworkApp, NetworkLab } from "./network-lab.ts";
import { askFrom, serveIn } from "./probe.ts";
import type { Ask } from "./probe-order.ts";
import { outsideAsks, standIn, standInsOf } from "./stand-ins.ts";

export interface Member extends Instance {
  readonly app: NetworkApp;
  /** Such as `blue@h1`. */
  readonly label: string;
  readonly bridge: string;
  readonly gateway: string;
  readonly address6: string;
  readonly gateway6: string;
}

/** One thing that is asked of some containers, and what must come of it. */
export interface Row {
  readonly group: "container" | "name" | "outside";
  readonly target: string;
  readonly reached: boolean;
  readonly ask: Ask;
  readonly from: Member;
  /** Asks the same where nothing of ours is in between; null where the target's own containers prove it. */
  readonly control: { readonly netns: string; readonly ask: Ask } | null;
}

export interface Answered extends Row {
  readonly answered: boolean;
  readonly controlled: boolean | null;
}

export const [appPort, tcpPort, udpPort] = [8080, 9080, 9081];
const served = { tcp: [22, 25, 80, 2375, tcpPort], udp: [udpPort] };
const patientMs = 5000;

/** @param both two apps of two environments with instances on every host */
export async function isolation(
  lab: NetworkLab,
  both: readonly [NetworkApp, NetworkApp],
): Promise<Answered[]> {
  const { hosts } = lab.lab;
  const members = await membersOf(lab, both);
  const closing: (() => Promise<void>)[] = [];
  try {
    closing.push(await standIn(hosts));
    for (const member of members) closing.push(await withIpv6(member));
    for (const { netns } of members) closing.push((await serveIn(netns, served)).close);
    for (const host of hosts) {
      const all = { ...served, udpAt: standInsOf(hosts, host) };
      closing.push((await serveIn(netnsOf(host, 1), all)).close);
    }
    const rows = members.flatMap((from) => [
      ...members.filter((to) => to !== from).flatMap((to) => containerAsks(from, to)),
      ...nameAsks(from, both, members),
      ...outsideAsks(lab, from, members),
    ]);
    return await askAll(rows);
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

async function membersOf(lab: NetworkLab, both: readonly NetworkApp[]): Promise<Member[]> {
  const found: Member[] = [];
  for (const [e, app] of both.entries())
    for (const one of await instancesOf(lab.lab.hosts, `berth.service=${app.id}`)) {
      const site = `fd00:be:${one.host.name.slice(1)}:${e}`;
      const word = app.environment.split("-")[0] ?? app.environment;
      found.push({
        ...{ ...one, app, label: `${word}@${one.host.name}`, bridge: `bn-${app.environmentId.slice(-10)}` },
        gateway: one.address.replace(/\d+$/, "1"),
        ...{ address6: `${site}::${one.address.split(".")[3]}`, gateway6: `${site}::1` },
      });
    }
  return found;
}

/** As if host and tenant had set all up for IPv6: what is closed then is closed by our rules. */
async function withIpv6({ netns, host, bridge, address6, gateway6 }: Member): Promise<() => Promise<void>> {
  const inside = ["nsenter", `--net=${netns}`, "sh", "-c"];
  const outside = ["nsenter", `--net=${netnsOf(host, 1)}`, "sh", "-c"];
  const on = (device: string) => `echo 0 > /proc/sys/net/ipv6/conf/${device}/disable_ipv6`;
  const off = (device: string) => `echo 1 > /proc/sys/net/ipv6/conf/${device}/disable_ipv6`;
  const forward = "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";
  await command([
    ...outside,
    `${on(bridge)}; ip -6 address replace ${gateway6}/64 dev ${bridge} nodad; ${forward}`,
  ]);
  const route = `ip -6 route replace default via ${gateway6} dev eth0`;
  await command([...inside, `${on("eth0")}; ip -6 address replace ${address6}/64 dev eth0 nodad; ${route}`]);
  return async () => {
    await command([...inside, off("eth0")]);
    await command([...outside, off(bridge)]);
  };
}

function containerAsks(from: Member, to: Member): Row[] {
  const reached = from.app === to.app;
  const row = (kind: Ask["kind"], address: string, port: number, mayReach: boolean): Row => ({
    ...{ group: "container", target: to.label, reached: mayReach, from, control: null },
    ask: { kind, to: address, port },
  });
  return [
    row("tcp", to.address, appPort, reached),
    row("tcp", to.address, tcpPort, reached),
    row("udp", to.address, udpPort, reached),
    row("icmp", to.address, 0, reached),
    // IPv6 is closed, inside too: what would pass beside our tunnels must not exist.
    row("tcp", to.address6, tcpPort, false),
    row("udp", to.address6, udpPort, false),
    row("icmp", to.address6, 0, false),
  ];
}

function nameAsks(from: Member, both: readonly NetworkApp[], members: readonly Member[]): Row[] {
  const names = ({ name }: NetworkApp) => [
    `${name}.internal`,
    `web.${name}.internal`,
    `1.web.${name}.internal`,
  ];
  const own = names(from.app).map((to): Row => {
    const ask: Ask = { kind: "name", to, port: appPort };
    return { group: "name", target: "own names", reached: true, from, ask, control: null };
  });
  const others = both.filter((app) => app !== from.app);
  const foreign = others.flatMap(names).map((to): Row => {
    const ask: Ask = { kind: "resolve", to, port: 0 };
    return { group: "name", target: "other's names", reached: false, from, ask, control: null };
  });
  // The other environment's resolver on the same host, which does know them.
  const neighbour = members.find(({ app, host }) => app !== from.app && host === from.host);
  const [known] = others.flatMap(names);
  if (neighbour === undefined || known === undefined) return [...own, ...foreign];
  const ask: Ask = { kind: "resolve", to: known, port: 0, server: neighbour.gateway };
  const control = { netns: neighbour.netns, ask };
  return [
    ...own,
    ...foreign,
    { group: "name", target: "other's resolver", reached: false, from, ask, control },
  ];
}

/** One process per container asks everything at once. What should have answered and did not is asked again, patiently. */
async function askAll(rows: readonly Row[]): Promise<Answered[]> {
  const answers = await askEach(
    rows,
    ({ from }) => from.netns,
    ({ ask }) => ask,
  );
  const missed = rows.filter((row) => row.reached && answers.get(row) !== true);
  for (let tries = 0; tries < 3 && missed.length > 0; tries += 1) {
    const again = await askEach(
      missed,
      ({ from }) => from.netns,
      ({ ask }) => ask,
      patientMs,
    );
    for (const [row, answered] of again) if (answered) answers.set(row, true);
    missed.splice(0, missed.length, ...missed.filter((row) => answers.get(row) !== true));
  }
  const controls = rows.flatMap(({ control }) => control ?? []);
  const unique = [...new Map(controls.map((one) => [JSON.stringify(one), one])).values()];
  const seen = await askEach(
    unique,
    ({ netns }) => netns,
    ({ ask }) => ask,
    patientMs,
  );
  const controlled = new Map([...seen].map(([one, answered]) => [JSON.stringify(one), answered]));
  return rows.map((row) => ({
    ...row,
    answered: answers.get(row) ?? false,
    controlled: row.control === null ? null : (controlled.get(JSON.stringify(row.control)) ?? false),
  }));
}

async function askEach<T>(
  items: readonly T[],
  where: (item: T) => string,
  what: (item: T) => Ask,
  timeoutMs?: number,
): Promise<Map<T, boolean>> {
  const groups = [...Map.groupBy(items, where)];
  const done = await Promise.all(
    groups.map(async ([netns, list]) => {
      const answers = await askFrom(netns, list.map(what), timeoutMs);
      return list.map((item, i): [T, boolean] => [item, answers[i] ?? false]);
    }),
  );
  return new Map(done.flat());
}

/** @returns what was not as it must be, a target that does not answer anybody included */
export function violations(answered: readonly Answered[]): string[] {
  return answered.flatMap(({ from, target, ask, reached, answered: came, controlled }) => {
    const what = `${from.label} → ${target} (${ask.kind} ${ask.to}${ask.port === 0 ? "" : `:${ask.port}`})`;
    if (controlled === false) return [`${what}: the target answers nobody, so its silence proves nothing`];
    return came === reached ? [] : [`${what}: ${came ? "reached" : "not reached"}`];
  });
}

/** The matrix of containers, then everything else with how many of the containers reached it. */
export function matrixLines(answered: readonly Answered[]): string[] {
  const labels = [...new Set(answered.map(({ from }) => from.label))];
  const letter = ({ ask, answered: came }: Answered): string => {
    const word = { tcp: "T", udp: "U", icmp: "I", name: "N", resolve: "R" }[ask.kind];
    return came ? (ask.to.includes(":") ? `${word}6` : word) : "·";
  };
  const cell = (from: string, to: string): string =>
    from === to
      ? ""
      : answered
          .filter((row) => row.group === "container" && row.from.label === from && row.target === to)
          .map(letter)
          .join("");
  const containers = tableLines(
    ["from \\ to", ...labels],
    labels.map((from) => [from, ...labels.map((to) => cell(from, to))]),
  );
  const rest = Map.groupBy(
    answered.filter(({ group }) => group !== "container"),
    ({ target, ask }) =>
      `${target}\t${ask.kind}${ask.port === 0 || ask.kind === "name" ? "" : ` ${ask.port}`}`,
  );
  const others = [...rest].map(([key, list]) => {
    const came = list.filter((one) => one.answered).length;
    const controls = list.filter(({ controlled }) => controlled !== null);
    const proved = controls.length === 0 ? "" : controls.every(({ controlled }) => controlled) ? "yes" : "NO";
    return [...key.split("\t"), `${came} of ${list.length}`, list[0]?.reached ? "all" : "none", proved];
  });
  return [
    "T TCP to the app and to another port, U UDP, I ICMP, the same again over IPv6 (T6 U6 I6); · no answer",
    ...containers,
    "",
    ...tableLines(["what else", "how", "reached", "must be", "answers others"], others),
  ];
}
