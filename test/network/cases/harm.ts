/** What may happen to an environment's tunnel, and what is at hand for it. */
import type { Finding } from "../../hosts/case.ts";
import type { Timeline } from "../../hosts/timeline.ts";
import type { Instance } from "../namespaces.ts";
import type { NetworkStage } from "../network-case.ts";
import type { Beats } from "../probe-order.ts";

export interface Given {
  readonly stage: NetworkStage;
  readonly near: Instance;
  readonly far: Instance;
  readonly tunnel: string;
  readonly timeline: Timeline;
  readonly wait: (ms: number) => Promise<void>;
}

export interface Harmed {
  /** When the harm was over. */
  readonly overAtMs: number;
  /** What else is to hold, once it flows again. */
  afterwards?(beats: Beats): Promise<Finding[]>;
}

export interface Harm {
  readonly name: string;
  readonly what: string;
  /** Longest silence after the harm is over, or the longest gap where the harm is one moment. */
  readonly promiseMs: number;
  act(given: Given): Promise<Harmed>;
  /** Puts the lab as it was. */
  undo?(given: Given): Promise<void>;
}

export const agentPattern = "services/agent/src/mai[n]";

export const on = async ({ host }: Instance, script: string): Promise<string> => {
  const { stdout, stderr, code } = await host.exec(["sh", "-c", script]);
  // 1 is what pgrep says when there is nobody.
  if (code !== 0 && code !== 1) throw new Error(`${host.name}: ${script}: ${stderr.trim()}`);
  return stdout;
};
