/** What the environments' networks of a full host cost: memory of their processes, and CPU of a round that changes nothing. */
import { execFile } from "node:child_process";
import { readFile, readlink } from "node:fs/promises";
import { promisify } from "node:util";
import type { HostNetworks } from "../../services/agent/src/network/host-networks.ts";
import { cpuSecondsOf } from "../bench/kit/cpu.ts";

const ROUNDS = 10;
const PROGRAMS = ["dnsmasq", "wireguard-go"];

/** Of one program: its processes in the engine's namespace and the memory that they share with nobody, on average. */
interface ProgramCost {
  readonly program: string;
  readonly count: number;
  readonly memoryKib: number;
}

export async function programCosts(namespace: string): Promise<ProgramCost[]> {
  const { stdout } = await promisify(execFile)("ip", ["netns", "pids", namespace]);
  const found = await Promise.all(stdout.split("\n").filter(Boolean).map(readProcess));
  return PROGRAMS.map((program) => {
    const kib = found.filter((one) => one.program === program).map(({ privateKib }) => privateKib);
    const sum = kib.reduce((a, b) => a + b, 0);
    return { program, count: kib.length, memoryKib: kib.length === 0 ? 0 : Math.round(sum / kib.length) };
  });
}

async function readProcess(pid: string): Promise<{ program: string; privateKib: number }> {
  const program = (await readlink(`/proc/${pid}/exe`).catch(() => "")).split("/").at(-1) ?? "";
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
  const parts = [...text.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB/gm)];
  return { program, privateKib: parts.reduce((sum, [, kib]) => sum + Number(kib), 0) };
}

/** @returns CPU of one round, this process's and that of the programs which it runs, and how long it took */
export async function roundCost(networks: HostNetworks): Promise<{ cpuMs: number; wallMs: number }> {
  await networks.look();
  const [before, beganMs] = [cpuSecondsOf(process.pid), performance.now()];
  for (let round = 0; round < ROUNDS; round++) await networks.look();
  const wallMs = performance.now() - beganMs;
  const cpuMs = (cpuSecondsOf(process.pid) - before) * 1000;
  return { cpuMs: Math.round(cpuMs / ROUNDS), wallMs: Math.round(wallMs / ROUNDS) };
}
