/**
 * CPU seconds of what the arms use, by group. What ended meanwhile (runc, docker-init's setup) counts with the parent
 * that waited for it; the machine's own sum holds everything, kernel threads included.
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { connect } from "@berth/infra/supervisor/client.ts";
import { cpuSecondsOf, cpuSecondsOfTree } from "../kit/cpu.ts";
import type { Site } from "./arm.ts";

const ticksPerSecond = 100;

export type CpuSeconds = Readonly<Record<string, number>>;

/** Of a host's processes by program: as in /proc, where names end after 15 letters. */
const groups: Readonly<Record<string, string>> = {
  dockerd: "dockerd",
  containerd: "containerd",
  "containerd-shim": "shims",
  haproxy: "edges",
  dnsmasq: "resolvers",
  "wireguard-go": "tunnels",
};

/** Of a host's own Node processes, by where their code lies. */
const nodeGroups: readonly (readonly [RegExp, string])[] = [
  [/\/services\/agent\//, "agents"],
  [/\/services\/logshipper\//, "log shippers"],
  [/\/services\/activator\//, "activators"],
  [/\/supervisor\//, "supervisors"],
];

/** @param runDir the control plane's supervisor */
export async function readCpu(sites: readonly Site[], runDir: string): Promise<CpuSeconds> {
  const sum: Record<string, number> = { machine: busySeconds(readFileSync("/proc/stat", "utf8")) };
  const add = (group: string, seconds: number): void => {
    sum[group] = (sum[group] ?? 0) + seconds;
  };
  const supervisor = await connect(runDir);
  if (supervisor === null) throw new Error(`no supervisor runs in ${runDir}`);
  const { pid: supervisorPid, processes } = await supervisor.status();
  add("supervisors", cpuSecondsOf(supervisorPid));
  for (const { pid } of processes) if (pid !== null) add("control plane", cpuSecondsOfTree(pid));
  const namespaces = new Set(sites.map(({ netnsPath }) => `net:[${statSync(netnsPath).ino}]`));
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name)))
    if (namespaces.has(networkOf(pid))) {
      const group = groupOf(pid);
      if (group !== null) add(group, cpuSecondsOf(Number(pid)));
    }
  return sum;
}

export function cpuBetween(before: CpuSeconds, after: CpuSeconds): CpuSeconds {
  return Object.fromEntries(
    Object.entries(after).map(([group, seconds]) => [group, Math.max(0, seconds - (before[group] ?? 0))]),
  );
}

/** All but idle, waiting for disks, and what other machines took: fields 1 to 7 of the first line. */
export function busySeconds(stat: string): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (stat.split("\n")[0] ?? "")
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq) / ticksPerSecond;
}

function networkOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return ""; // it has ended, or is the kernel's
  }
}

/** The checkers are in the hosts' namespaces too, and are the bench's own. */
function groupOf(pid: string): string | null {
  try {
    const program = readFileSync(`/proc/${pid}/comm`, "utf8").trim();
    const known = groups[program];
    if (known !== undefined) return known;
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    return nodeGroups.find(([path]) => path.test(command))?.[1] ?? null;
  } catch {
    return null;
  }
}
