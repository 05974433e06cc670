/** What all parts of one simulated pod share. */
import type { Guard } from "./guards.ts";
import type { Ids } from "./ids.ts";
import type { Invariants } from "./invariants.ts";
import type { Network } from "./network.ts";
import type { Rng } from "./rng.ts";
import type { SimHost } from "./sim-host.ts";
import type { SimPlane } from "./sim-plane.ts";
import type { SimScheduler } from "./sim-scheduler.ts";
import type { Store } from "./store.ts";
import type { Timeline } from "./timeline.ts";

/** How bad the world is; 0 is a calm one. Changes while it runs. */
export interface Weather {
  /** Share of messages that are lost, of those that are late, of those that come twice. */
  loss: number;
  late: number;
  lateMs: number;
  twice: number;
  /** Share of engine calls that fail: half of them after the effect. */
  engineFaults: number;
  /** Share of slow answers of the database. */
  slowRecord: number;
  /** Share of observations that the bus took and then lost with its store. */
  wipedStream: number;
}

export const CALM: Weather = {
  loss: 0,
  late: 0,
  lateMs: 0,
  twice: 0,
  engineFaults: 0,
  slowRecord: 0,
  wipedStream: 0,
};

export interface World {
  readonly timeline: Timeline;
  readonly rng: Rng;
  readonly ids: Ids;
  readonly store: Store;
  readonly network: Network;
  readonly weather: Weather;
  readonly invariants: Invariants;
  readonly hosts: SimHost[];
  readonly schedulers: SimScheduler[];
  readonly plane: SimPlane;
  /** False for a guard that this run has switched off. */
  readonly on: (guard: Guard) => boolean;
  /** Notes a step; the text is only made when somebody reads it. */
  readonly trace: (about: string, text: () => string) => void;
}

export const LIMITS = {
  leaderLeaseMs: 4000,
  awardLeaseMs: 10_000,
  suspectAfterMs: 6000,
  lostAfterMs: 10_000,
  heartbeatMs: 2000,
  bidLifeMs: 6000,
  deployDeadlineMs: 60_000,
  unplaceableAfterMs: 20_000,
  drainMs: 2000,
  readinessDeadlineMs: 15_000,
  reconcileEveryMs: 1000,
} as const;
