/** What a lab host uses and holds: memory of all its processes, packet rules, start times of its jobs. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { LabHost } from "@berth/infra/lab/lab.ts";
import { netnsOf } from "../../network/namespaces.ts";

/** Where control groups have one tree per controller. */
const controller = "/sys/fs/cgroup/memory";
const bytesPerKib = 1024;

/**
 * Bytes by program, of every process of the host, engine, shims, containers, agent, log shipper, tunnels and resolvers among
 * them: its own memory and its share of what it shares, without pages of files; and the kernel's memory for the containers.
 */
export function usedByProgram(host: LabHost): ReadonlyMap<string, number> {
  const proc = `${netnsOf(host, 1).replace(/\/1\/ns\/net$/, "")}`;
  const kernel = readFileSync(join(controller, host.cgroup, "memory.kmem.usage_in_bytes"), "utf8");
  const used = new Map([["kernel", Number(kernel)]]);
  for (const pid of readdirSync(proc).filter((name) => /^\d+$/.test(name))) {
    const program = programOf(textOf(join(proc, pid, "cmdline")));
    used.set(
      program,
      (used.get(program) ?? 0) + ownKibOf(textOf(join(proc, pid, "smaps_rollup"))) * bytesPerKib,
    );
  }
  return used;
}

/** @returns bytes by program that came with each of `count` containers, the most first, and their sum */
export function usedPerContainer(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
  count: number,
): { readonly bytes: number; readonly byProgram: Readonly<Record<string, number>> } {
  const each = [...after]
    .map(([program, bytes]) => [program, Math.round((bytes - (before.get(program) ?? 0)) / count)] as const)
    .filter(([, bytes]) => Math.abs(bytes) > bytesPerKib)
    .sort(([, one], [, other]) => other - one);
  return { bytes: each.reduce((sum, [, bytes]) => sum + bytes, 0), byProgram: Object.fromEntries(each) };
}

/** @returns nothing for a process that has ended. */
function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** @param commandLine as in /proc: words with a zero byte after each @returns its name, of a script the script's path from `services` on */
export function programOf(commandLine: string): string {
  const words = commandLine.split("\0");
  const script = words.find((word) => word.includes("/services/"));
  return script?.slice(script.lastIndexOf("/services/") + 1) ?? basename(words[0] ?? "");
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
