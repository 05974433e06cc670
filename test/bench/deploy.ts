/**
 * `berth bench deploy`: what a deploy costs those who use the app, and what Berth's edge costs beside a HAProxy by hand.
 *
 *   Z1   failed requests over all deploys under constant load: kept and closed connections, h2, streams of 2 s, WebSockets
 *   Z2   p99 of the short requests during a deploy / between deploys
 *   Z4   requests per second per core of the edge's HAProxy / of one configured by hand; Z4b: by hand with the same duties
 *   Z5   p99 from a changed route table to every edge's word / a HAProxy reload, from signal to the first new answer
 *
 * h2 is in clear, with prior knowledge. A WebSocket has failed when it ends otherwise than by the app's goodbye (1001); then it
 * comes again within two seconds.
 * Brings up a lab of two hosts and removes it.
 *
 *   node test/bench/deploy.ts [--deploys 50] [--rate 150] [--websockets 200] [--streams 5] [--steady 3]
 *     [--pairs 7] [--changes 100] [--only Z1,Z4,Z5] [--state-dir DIR] [--index 24]
 */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { edgePaths } from "@berth/infra/host/processes.ts";
import { ensurePackages } from "@berth/infra/install/debian-packages.ts";
import type { LabHost } from "@berth/infra/lab/lab.ts";
import { hostBerthDir, type LabPod } from "@berth/infra/lab/lab-pod.ts";
import { run } from "@berth/infra/run-command.ts";
import { HandProxy, processesWith } from "./deploy/hand-proxy.ts";
import type { WindowReport } from "./deploy/load.ts";
import { LoadProcess } from "./deploy/load-process.ts";
import { type DeploySite, makeSite } from "./deploy/site.ts";
import { cpuSecondsOf } from "./kit/cpu.ts";
import { wholeFlag } from "./kit/flags.ts";
import { withLab } from "./kit/lab-run.ts";
import { type Figure, figureLines, reportLine } from "./kit/report.ts";
import { estimate, ratios } from "./kit/statistics.ts";

const { values: flags } = parseArgs({
  options: {
    deploys: { type: "string", default: "50" },
    rate: { type: "string", default: "150" },
    websockets: { type: "string", default: "200" },
    streams: { type: "string", default: "5" },
    steady: { type: "string", default: "3" },
    pairs: { type: "string", default: "7" },
    changes: { type: "string", default: "100" },
    only: { type: "string", default: "Z1,Z4,Z5" },
    "state-dir": { type: "string", default: "/var/tmp/berth-bench-deploy" },
    "cache-dir": { type: "string" },
    index: { type: "string", default: "24" },
    "postgres-port": { type: "string", default: "7801" },
    "nats-monitor-port": { type: "string", default: "7802" },
  },
});
const only = new Set(flags.only.split(","));
const say = (line: string): void => console.error(line);

const instances = 2;
const handPorts = { plain: 18_080, duties: 18_081 } as const;
const wrkSeconds = 4;
const blocks = 5;

if (only.has("Z4")) await ensurePackages(["wrk"], say);
await withLab({ hosts: 2, flags, settings: {}, say }, measure);

async function measure(labPod: LabPod, folder: string): Promise<void> {
  const site = await makeSite(labPod, folder, instances);
  const figures: Figure[] = [];
  const extra: Record<string, unknown> = {};
  try {
    if (only.has("Z1")) {
      const { Z1, Z2 } = await deployUnderLoad(labPod, site);
      extra.Z1 = Z1;
      figures.push(Z2);
    }
    if (only.has("Z4") || only.has("Z5")) figures.push(...(await besideHand(labPod, site)));
    for (const line of figureLines(figures)) console.log(line);
    console.log(reportLine("deploy", figures, extra, {}));
  } finally {
    await site.close();
  }
}

async function deployUnderLoad({ lab, pod }: LabPod, site: DeploySite) {
  const rate = wholeFlag(flags, "rate", 1, 10_000) / 3;
  const load = new LoadProcess({
    ...{
      edges: lab.hosts.map(({ address }) => address),
      port: pod.settings.edgePort,
      hostname: site.hostname,
    },
    rates: {
      "keep-alive": rate,
      close: rate,
      h2: rate,
      stream: wholeFlag(flags, "streams", 0, 100),
      websocket: 0,
    },
    webSockets: wholeFlag(flags, "websockets", 0, 2000),
  });
  const deploys = wholeFlag(flags, "deploys", 1, 1000);
  const steadyMs = wholeFlag(flags, "steady", 1, 600) * 1000;
  const [steady, during, took]: [WindowReport[], WindowReport[], number[]] = [[], [], []];
  try {
    await delay(2000);
    await load.window(); // connections are made
    for (let i = 1; i <= deploys; i++) {
      await delay(steadyMs);
      steady.push(await load.window());
      took.push(await site.deploy());
      during.push(await load.window());
      const [quiet, busy] = [steady.at(-1), during.at(-1)];
      say(
        `Z1 ${i}/${deploys}: ${took.at(-1)?.toFixed(0)} ms, p99 ${busy?.p99Ms.toFixed(1)} and ${quiet?.p99Ms.toFixed(1)} ms, ` +
          `failed ${JSON.stringify(busy?.failed)} and ${JSON.stringify(quiet?.failed)}, goodbyes ${busy?.goodbyes}`,
      );
    }
  } finally {
    load.close();
  }
  const all = [...steady, ...during];
  const failed = sums(all.map((report) => report.failed));
  const Z1 = {
    ...{ deploys, requests: sums(all.map(({ counts }) => counts)), failed, lost: total(failed) },
    goodbyes: all.reduce((sum, { goodbyes }) => sum + goodbyes, 0),
    latestMs: Math.round(Math.max(...all.map(({ lateMs }) => lateMs))),
    deployMs: Math.round(estimate(took).median),
  };
  const p99 = (reports: readonly WindowReport[]): number[] => reports.map(({ p99Ms }) => p99Ms);
  const Z2: Figure = {
    ...{ id: "Z2", what: "p99 during a deploy / between deploys", goal: 1.2, better: "lower", kind: "self" },
    estimate: estimate(ratios(p99(during), p99(steady))),
  };
  return { Z1, Z2 };
}

function sums(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const one of counts)
    for (const [name, times] of Object.entries(one)) sum[name] = (sum[name] ?? 0) + times;
  return sum;
}

function total(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, times) => sum + times, 0);
}

/** The proxies by hand run on the first host, beside its edge. */
async function besideHand({ lab, pod }: LabPod, site: DeploySite): Promise<Figure[]> {
  const host = lab.hosts[0] as LabHost;
  const folder = join(host.sharedDir, "bench-deploy");
  const backends = await site.backends();
  const given = { host, folder, hostname: site.hostname, backends };
  const plain = new HandProxy({ ...given, kind: "plain", port: handPorts.plain });
  const same = new HandProxy({ ...given, kind: "duties", port: handPorts.duties });
  try {
    await plain.start();
    await same.start();
    const edgeConfig = edgePaths(hostBerthDir(host)).config;
    const edgeCpu = () => processesWith(edgeConfig).reduce((sum, pid) => sum + cpuSecondsOf(pid), 0);
    const edge = { port: pod.settings.edgePort, cpuSeconds: edgeCpu };
    const arms = [
      { port: handPorts.plain, cpuSeconds: () => plain.cpuSeconds() },
      { port: handPorts.duties, cpuSeconds: () => same.cpuSeconds() },
    ] as const;
    return [
      ...(only.has("Z4") ? await perCore(host, site.hostname, edge, arms) : []),
      ...(only.has("Z5") ? [await routeChanges(site, plain)] : []),
    ];
  } finally {
    await plain.close();
    await same.close();
  }
}

interface Proxy {
  readonly port: number;
  cpuSeconds(): number;
}

async function perCore(
  host: LabHost,
  hostname: string,
  edge: Proxy,
  [plain, duties]: readonly [Proxy, Proxy],
) {
  const measured: { edge: number[]; plain: number[]; duties: number[] } = { edge: [], plain: [], duties: [] };
  const one = (proxy: Proxy) => requestsPerCpuSecond(host.address, hostname, proxy);
  const twice = [await one(plain), await one(plain)] as const;
  say(`Z4: A–A ${(twice[0] / twice[1]).toFixed(3)}`);
  for (let pair = 1; pair <= wholeFlag(flags, "pairs", 1, 100); pair++) {
    measured.edge.push(await one(edge));
    measured.plain.push(await one(plain));
    measured.duties.push(await one(duties));
    const [a, b, c] = [measured.edge, measured.plain, measured.duties].map((values) =>
      values.at(-1)?.toFixed(0),
    );
    say(`Z4 ${pair}: requests per CPU second: edge ${a}, by hand ${b}, with the same duties ${c}`);
  }
  const figure = (id: string, what: string, compared: readonly number[]): Figure => ({
    ...{ id, what: `requests per second per core / ${what}`, goal: 0.95, better: "higher", kind: "peer" },
    estimate: estimate(ratios(measured.edge, compared)),
  });
  return [
    figure("Z4", "HAProxy by hand", measured.plain),
    figure("Z4b", "HAProxy by hand with the same duties", measured.duties),
  ];
}

/** Saturated by `wrk` on kept connections; who else is slow makes the rate lower, not the CPU per request. */
async function requestsPerCpuSecond(address: string, hostname: string, proxy: Proxy): Promise<number> {
  const before = proxy.cpuSeconds();
  const url = `http://${address}:${proxy.port}/`;
  const stdout = await run(["wrk", "-t1", "-c32", `-d${wrkSeconds}s`, "-H", `Host: ${hostname}`, url], {
    timeoutMs: wrkSeconds * 1000 + 20_000,
  });
  const used = proxy.cpuSeconds() - before;
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1] ?? 0);
  if (requests === 0 || /Non-2xx/.test(stdout)) throw new Error(`wrk at ${url}:\n${stdout}`);
  return requests / used;
}

async function routeChanges(site: DeploySite, plain: HandProxy): Promise<Figure> {
  const changes = wholeFlag(flags, "changes", blocks, 10_000);
  const [routed, reloaded]: [number[], number[]] = [[], []];
  for (let block = 1; block <= blocks; block++) {
    const [routes, reloads]: [number[], number[]] = [[], []];
    for (let i = 0; i < Math.ceil(changes / blocks); i++) {
      routes.push(await site.changeRoute(i % 2 === 0));
      reloads.push(await plain.reload());
    }
    routed.push(p99(routes));
    reloaded.push(p99(reloads));
    say(
      `Z5 ${block}/${blocks}: p99 of a route change ${routed.at(-1)?.toFixed(1)} ms, of a reload ${reloaded.at(-1)?.toFixed(1)} ms`,
    );
  }
  return {
    ...{ id: "Z5", what: "p99 from route change to every edge's word / a reload", goal: 0.2 },
    ...{ better: "lower", kind: "peer", estimate: estimate(ratios(routed, reloaded)) },
  };
}

function p99(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(0.99 * (values.length - 1))] ?? 0;
}
