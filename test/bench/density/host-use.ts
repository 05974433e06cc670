/** What a lab host uses and holds: memory of all its processes, packet rules, start times of its jobs. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { LabHost } from "@berth/infra/lab/lab.ts";
import { netnsOf } from "../../network/namespaces.ts";

/** Where control groups have one tree per controller. */
const controller = "/sys/fs/cgroup/memory";
const bytesPerKib = 1024;

/**
 * Of every process of the host, engine, shims, containers, agent, log shipper, tunnels and resolvers among them: its own
 * memory and its share of what it shares, without pages of files; and the kernel's memory for the containers.
 */
export function usedBytes(host: LabHost): number {
  const proc = `${netnsOf(host, 1).replace(/\/1\/ns\/net$/, "")}`;
  const kib = readdirSync(proc)
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => ownKib(join(proc, pid, "smaps_rollup")));
  const kernel = readFileSync(join(controller, host.cgroup, "memory.kmem.usage_in_bytes"), "utf8");
  return kib.reduce((sum, one) => sum + one, 0) * bytesPerKib + Number(kernel);
}

function ownKib(file: string): number {
  try {
    return ownKibOf(readFileSync(file, "utf8"));
  } catch {
    return 0; // it has ended
  }
}

export function ownKibOf(rollup: string): number {
  const parts = [...rollup.matchAll(/^Pss_(?:Anon|Shmem):\s+(\d+) kB$/gm)];
  return parts.reduce((sum, [, kib]) => sum + Number(kib), 0);
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
