/** One way to come from one replica to many on the same engines. Arms take turns; one of them is under way at a time. */
import type { Engine } from "./engine.ts";

/** One host of the lab, as the arms and the checkers need it. */
export interface Site {
  readonly name: string;
  readonly address: string;
  readonly netnsPath: string;
  readonly dockerSocket: string;
  readonly engine: Engine;
}

export interface Arm {
  readonly name: string;
  /** Of the engines: where the replicas have the address at which the host's checker asks them. */
  readonly network: string;
  /** Asks for so many replicas; they need not be there when it comes back. */
  scale(replicas: number): Promise<void>;
  /** What the arm does besides answering, waited for but not in the measured time: its proxies know all. */
  settled?(replicas: number): Promise<void>;
  /** Where the time from `startedAtMs` (wall clock) on went; nothing for arms that do not tell. */
  explain?(startedAtMs: number, wallMs: number): Promise<Explained>;
  close(): Promise<void>;
}

export interface Explained {
  /** Wall time per stage: each instant is shared among the jobs that are under way at it. */
  readonly stages: readonly { readonly name: string; readonly ms: number; readonly medianMs: number }[];
  /** Share of the wall time in which at least one job was in a stage, in [0, 1]. */
  readonly coveredShare: number;
}

export interface Sample {
  /** From the request to the moment at which all replicas have answered. */
  readonly wallMs: number;
  /** From the request until everything that the arm promises is so, its proxies included. */
  readonly settledMs: number;
  readonly cpu: Readonly<Record<string, number>>;
  readonly explained: Explained | null;
}

/** Of every replica, in every arm. */
export const limits = { memoryBytes: 64 * 1024 ** 2, cpuMillis: 500 };
export const appPort = 8080;
export const appPath = "/version";
export const scaleTimeoutMs = 120_000;
