/** What a lab host uses and holds: memory of all its processes, packet rules, start times of its jobs. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { LabHost } from "@berth/infra/lab/lab.ts";

/** Where control groups have one tree per controller. */
const controller = "/sys/fs/cgroup/memory";

/** Of the host's whole tree: engine, shims, containers, agent, tunnels, resolvers, kernel memory; without file caches. */
export function usedBytes({ cgroup }: LabHost): number {
  const read = (file: string): string => readFileSync(join(controller, cgroup, file), "utf8");
  const cached = [...read("memory.stat").matchAll(/^total_(?:in)?active_file (\d+)$/gm)];
  return Number(read("memory.usage_in_bytes")) - cached.reduce((sum, [, bytes]) => sum + Number(bytes), 0);
}

/** Rules of nftables, and of the engine's iptables among them, that packets of this host may walk. */
export async function packetRules(host: LabHost): Promise<number> {
  const { stdout, code, stderr } = await host.exec(["nft", "--handle", "list", "ruleset"], 120_000);
  if (code !== 0) throw new Error(`${host.name}: nft list ruleset: ${stderr.trim().slice(0, 300)}`);
  return countRules(stdout);
}

/** A rule is a line with a handle that is neither a table, a chain nor a set. */
export function countRules(ruleset: string): number {
  return ruleset
    .split("\n")
    .filter((line) => / # handle \d+$/.test(line) && !/^\s*(table|chain|set|map)\s/.test(line)).length;
}
