/**
 * `berth bench overlay`: what an environment's network carries between two hosts, beside wireguard-go by hand.
 *
 *   Berth    two containers of one environment on two lab hosts, as the platform made them
 *   by hand  two containers on two hosts without Berth, the same wireguard-go, a route, no packet rules of ours
 *
 * One stream of iperf3, the arms take turns. CPU is that of wireguard-go and of iperf3 at both ends and of the
 * kernel's packet threads. O5 adds a hundred environments without
 * traffic to both hosts, lets them come to rest and compares with the floor again. `--only variants` measures wireguard-go's versions and sizes
 * of packets by hand. Makes two labs of its own and removes them.
 *
 *   node test/bench/overlay.ts [--only O1,O5,variants] [--pairs 7] [--seconds 4] [--environments 100] [--index 18]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ensurePackages, unpackFromSuite } from "@berth/infra/install/debian-packages.ts";
import { ensureWireguardGo } from "@berth/infra/install/wireguard-go.ts";
import { command } from "@berth/infra/lab/command.ts";
import { type Lab, labDown, labUp } from "@berth/infra/lab/lab.ts";
import { hostNames } from "@berth/infra/lab/lab-names.ts";
import { MIB } from "@berth/shared/domain/resources.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { makeEnvironments } from "../network/many-environments.ts";
import { type NetworkLab, startNetworkLab } from "../network/network-lab.ts";
import { Closing } from "./kit/closing.ts";
import { wholeFlag } from "./kit/flags.ts";
import { berthPath } from "./overlay/berth-arm.ts";
import { handArm } from "./overlay/hand-arm.ts";
import { type Measured, type Pair, reportOverlay, type Variant } from "./overlay/report-overlay.ts";
import { type Path, type Transfer, transfer } from "./overlay/transfer.ts";

const berthMtu = 1420;
const cacheDir = join(tmpdir(), "berth-lab-cache");
const { values: flags } = parseArgs({
  options: {
    only: { type: "string", default: "O1,O5,variants" },
    pairs: { type: "string", default: "7" },
    seconds: { type: "string", default: "4" },
    environments: { type: "string", default: "100" },
    index: { type: "string", default: "18" },
    "postgres-port": { type: "string", default: "17361" },
  },
});
const parts = new Set(flags.only.split(","));
for (const part of parts)
  if (!["O1", "O5", "variants"].includes(part))
    throw new Error(`--only takes O1, O5 and variants, not ${part}`);
const pairs = wholeFlag(flags, "pairs", 1, 50);
const seconds = wholeFlag(flags, "seconds", 1, 60);
const environments = wholeFlag(flags, "environments", 1, 300);
/** A hundred environments have copies of it; iperf3 runs beside it, not in it. */
const small = { memoryBytes: 32 * MIB, cpuMillis: 50 };
/** What was begun with the last environment ends: route tables, names, first probes. */
const restMs = 30_000;
/** The floor's lab has the next index. */
const index = wholeFlag(flags, "index", 0, 98);

const say = (line: string): void => console.error(line);
const closing = new Closing(say, () => print());
/** As far as it came. */
const measured = {
  same: [] as Pair[],
  alone: [] as Pair[],
  crowded: [] as Pair[],
  variants: [] as Variant[],
};
let versions: Readonly<Record<string, string>> = {};

try {
  await main();
} finally {
  await closing.closeAll();
}

async function main(): Promise<void> {
  await ensurePackages(["iperf3", "wireguard-tools", "busybox-static"], say);
  const tool = await ensureWireguardGo(join(cacheDir, "tools"), say);
  if (tool === null)
    throw new Error("this kernel has WireGuard: the floor of this benchmark is wireguard-go");
  const bare = await bareLab();
  versions = { "wireguard-go": tool.version };
  if (parts.has("variants")) measured.variants.push(...(await measureVariants(bare, tool)));
  const floor = await handArm({ lab: bare, program: tool.path, mtu: berthMtu, name: "by hand" });
  closing.push(floor.close);
  if (parts.has("O1") || parts.has("O5")) {
    const lab = await berthLab();
    const app = await lab.app("bench", "app", small);
    const berth = await berthPath(lab, app);
    await takeTurns(floor, { ...floor, name: "by hand again" }, Math.min(pairs, 3), measured.same);
    await takeTurns(berth, floor, pairs, measured.alone);
    if (parts.has("O5")) {
      await makeEnvironments(lab, app, { count: environments, instances: 2, say });
      say(`${environments} environments come to rest for ${restMs / 1000} s`);
      await sleep(restMs);
      await takeTurns(berth, floor, pairs, measured.crowded);
    }
  }
  print();
}

function print(): void {
  const all: Measured = { ...measured, environments };
  for (const line of reportOverlay(all, versions)) console.log(line);
}

/** The order changes from pair to pair, so that what the machine does in between hits both. */
async function takeTurns(one: Path, other: Path, count: number, done: Pair[]): Promise<void> {
  for (let i = 0; i < count; i += 1) {
    const order = i % 2 === 0 ? [one, other] : [other, one];
    const seen = new Map<Path, Transfer>();
    for (const path of order) seen.set(path, await transfer(path, seconds));
    const [a, b] = [seen.get(one) as Transfer, seen.get(other) as Transfer];
    say(
      `${i + 1}/${count}: ${one.name} ${a.gigabitsPerSecond.toFixed(2)} Gb/s, ${other.name} ${b.gigabitsPerSecond.toFixed(2)} Gb/s`,
    );
    done.push([a, b]);
  }
}

async function measureVariants(lab: Lab, tool: { path: string; version: string }): Promise<Variant[]> {
  const { dir, version } = await unpackFromSuite(
    { name: "wireguard-go", suite: "bookworm", cacheDir: join(cacheDir, "apt-bookworm"), progress: say },
    (found) => join(cacheDir, "tools", `old-wireguard-go-${found}`),
  );
  const old = { program: join(dir, "usr/bin/wireguard-go"), version };
  const present = { program: tool.path, version: tool.version };
  const tried = [
    { ...old, mtu: berthMtu },
    { ...present, mtu: berthMtu },
    { ...present, mtu: 1280 },
    { ...present, mtu: 8920 },
  ];
  const variants: Variant[] = [];
  for (const { program, version: its, mtu } of tried) {
    if (mtu > 1500) await setUnderlayMtu(lab, mtu + 80);
    const arm = await handArm({ lab, program, mtu, name: `wireguard-go ${its}, MTU ${mtu}` });
    const transfers: Transfer[] = [];
    try {
      for (let i = 0; i < 3; i += 1) transfers.push(await transfer(arm, seconds));
    } finally {
      await arm.close();
      await setUnderlayMtu(lab, 1500);
    }
    variants.push({ name: arm.name, transfers });
  }
  return variants;
}

async function setUnderlayMtu(lab: Lab, mtu: number): Promise<void> {
  for (const { name } of lab.hosts) {
    const { veth, netnsPath } = hostNames(lab.stateDir, lab.index, Number(name.slice(1)));
    await command(["ip", "link", "set", veth, "mtu", String(mtu)]);
    await command(["nsenter", `--net=${netnsPath}`, "ip", "link", "set", "eth0", "mtu", String(mtu)]);
  }
}

async function bareLab(): Promise<Lab> {
  const stateDir = mkdtempSync(join(tmpdir(), "berth-overlay-bare-"));
  closing.push(async () => {
    await labDown(stateDir, say);
    rmSync(stateDir, { recursive: true, force: true });
  });
  return await labUp({ hosts: 2, stateDir, index: index + 1, cacheDir, say });
}

async function berthLab(): Promise<NetworkLab> {
  const stateDir = join(tmpdir(), `berth-overlay-${process.pid}`);
  const crowd = String(environments + 50);
  const agentEnv = { BERTH_AGENT_NETWORKS_COUNT: crowd, BERTH_AGENT_JOB_SLOTS: crowd };
  const lab = await startNetworkLab({
    hosts: 2,
    index,
    postgresPort: wholeFlag(flags, "postgres-port", 1, 65_535),
    stateDir,
    agentEnv,
  });
  closing.push(lab.close);
  return lab;
}
