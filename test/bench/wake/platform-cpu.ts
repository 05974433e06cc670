/** CPU seconds of everything that a pod is made of, engines included, over a while in which nobody asks for anything. */
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "@berth/infra/supervisor/client.ts";
import { cpuSecondsOfTree } from "../kit/cpu.ts";
import type { Site } from "../scale/arm.ts";
import { cpuBetween, readCpu } from "../scale/used-cpu.ts";

/** Process or group → share of one core. */
export type Shares = Readonly<Record<string, number>>;

/** @param runDir the control plane's supervisor */
export async function platformShares(
  sites: readonly Site[],
  runDir: string,
  seconds: number,
): Promise<Shares> {
  const [before, namedBefore] = [await readCpu(sites, runDir), await byName(runDir)];
  const startMs = performance.now();
  await delay(seconds * 1000);
  const [after, namedAfter] = [await readCpu(sites, runDir), await byName(runDir)];
  const tookSeconds = (performance.now() - startMs) / 1000;
  const used = { ...cpuBetween(before, after), ...cpuBetween(namedBefore, namedAfter) };
  return Object.fromEntries(Object.entries(used).map(([name, spent]) => [name, spent / tookSeconds]));
}

/** The control plane's processes one by one. */
async function byName(runDir: string): Promise<Record<string, number>> {
  const supervisor = await connect(runDir);
  if (supervisor === null) throw new Error(`no supervisor runs in ${runDir}`);
  const { processes } = await supervisor.status();
  return Object.fromEntries(
    processes.flatMap(({ name, pid }) => (pid === null ? [] : [[`· ${name}`, cpuSecondsOfTree(pid)]])),
  );
}

/** All of the platform: not the machine's sum, nor the parts of a part. */
export function wholeShare(shares: Shares): number {
  return Object.entries(shares).reduce(
    (sum, [name, share]) => (name === "machine" || name.startsWith("· ") ? sum : sum + share),
    0,
  );
}
