/**
 * Takes away what the agent made on the machine's network: bridges, tunnels with their processes, routes, rules and
 * resolvers. Only for `berth reset`; each step may find nothing to do. Names are those that the agent uses
 * (services/agent/src/network).
 */
import { readdir, readFile, rm } from "node:fs/promises";
import type { Progress } from "../progress.ts";
import { run } from "../run-command.ts";

const timeoutMs = 30_000;
const sockets = "/var/run/wireguard";

export type HostNetworksGiven = {
  readonly podId: string;
  /** Of the host: what it holds of its networks is in `networks` below it. */
  readonly hostDir: string;
  readonly docker: (...args: readonly string[]) => Promise<string>;
  readonly progress: Progress;
};

export async function removeHostNetworks({
  podId,
  hostDir,
  docker,
  progress,
}: HostNetworksGiven): Promise<void> {
  const filters = ["--filter", `label=berth.pod=${podId}`, "--filter", "label=berth.network=environment"];
  const networks = (await docker("network", "ls", "-q", ...filters)).split(/\s+/).filter(Boolean);
  await endTunnels(podId, hostDir);
  await rm(`/run/berth/resolvers/${podId}`, { recursive: true, force: true });
  if (networks.length > 0) await docker("network", "rm", ...networks);
  const rules = await ourRules();
  for (const { priority } of rules)
    await attempt(["ip", "-4", "rule", "delete", "priority", String(priority)]);
  for (const table of ["7420", "7421", ...rules.filter(isExit).map((rule) => rule.table)])
    await attempt(["ip", "-4", "route", "flush", "table", table]);
  for (const [parent, chain] of [
    ["FORWARD", "BERTH"],
    ["INPUT", "BERTH-IN"],
  ] as const) {
    await attempt(["iptables", "-w", "5", "-D", parent, "-j", chain]);
    await attempt(["iptables", "-w", "5", "-F", chain]);
    await attempt(["iptables", "-w", "5", "-X", chain]);
  }
  for (const family of ["inet", "bridge"]) await attempt(["nft", "delete", "table", family, "berth"]);
  progress(`${networks.length} environment networks removed`);
}

/** Tunnels and resolvers, which otherwise outlive the agent. The next agent makes them again from its disk. */
export async function endTunnels(podId: string, hostDir: string): Promise<void> {
  await endProcesses(podId, hostDir);
  for (const name of await links()) await attempt(["ip", "link", "delete", name]);
  for (const name of (await readdir(sockets).catch(() => [])).filter((one) => /^w[bm]-/.test(one)))
    await rm(`${sockets}/${name}`, { force: true });
}

async function attempt(command: readonly string[]): Promise<void> {
  await run(command, { timeoutMs }).catch(() => undefined);
}

async function links(): Promise<string[]> {
  const found = JSON.parse(await run(["ip", "-j", "link", "show"], { timeoutMs })) as { ifname: string }[];
  return found.map(({ ifname }) => ifname).filter((name) => /^w[bm]-/.test(name));
}

type Rule = { readonly priority: number; readonly iif?: string; readonly table: string };

async function ourRules(): Promise<Rule[]> {
  const found = JSON.parse(await run(["ip", "-j", "-4", "rule", "show"], { timeoutMs })) as Rule[];
  return found.filter((rule) => (rule.priority >= 7400 && rule.priority < 7420) || isExit(rule));
}

/** An environment's way to its gateway: the rule has the number of its table. */
function isExit({ priority, iif, table }: Rule): boolean {
  return priority >= 10_000 && iif?.startsWith("bn-") === true && table === String(priority);
}

/** Resolvers, known by the pod on their command line; wireguard-go, known by the interface's name. */
async function endProcesses(podId: string, hostDir: string): Promise<void> {
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const words = (await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "")).split("\0");
    const program = words[0]?.split("/").at(-1);
    const isTunnel = words[0] === `${hostDir}/tools/wireguard-go` && /^w[bm]-/.test(words[2] ?? "");
    const isResolver =
      program === "dnsmasq" && words.some((word) => word.includes(`/run/berth/resolvers/${podId}/`));
    if (!isTunnel && !isResolver) continue;
    try {
      process.kill(Number(entry), "SIGTERM");
    } catch {
      // It ended in between.
    }
  }
}
