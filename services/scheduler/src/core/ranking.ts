/** What a way of placing answers for one lot, and what it offers to the batch. */
import type { HostState, Refusal } from "@berth/shared/domain/placement.ts";
import type { BatchLot } from "./batch-lot.ts";
import type { Scored } from "./host-heap.ts";
import type { Verdict } from "./judge-host.ts";

/** Hosts that refuse with one code: one of them with its words, and how many there are. */
export interface RefusedGroup {
  readonly index: number;
  readonly refusal: Refusal;
  readonly count: number;
}

export interface Ranking {
  /** The best bids, best first; empty when every host refuses. */
  readonly best: readonly Scored[];
  readonly bidders: number;
  readonly refused: ReadonlyMap<Refusal["code"], RefusedGroup>;
  /** The verdict of any host. */
  verdictOf(index: number): Verdict;
}

export interface Chooser {
  /** The hosts as they are now, with what the batch reserved so far. */
  readonly hosts: readonly HostState[];
  zoneHasFewest(lot: BatchLot, host: HostState): boolean;
  choose(lot: BatchLot, bestCount: number): Ranking;
  /** Reserves the lot on the host at `index`. */
  take(lot: BatchLot, index: number): void;
}
