/**
 * The auction's decision: a batch of lots against the hosts' standing bids.
 *
 * Pure, and independent of the order of `hosts`. First instances of everything come before second ones, larger ones
 * first; what a lot takes is reserved in memory, so that the next lot of the batch sees it. A full pod is an answer.
 */

import type { HostId, JobId } from "@berth/shared/domain/ids.ts";
import type { HostState, Lot, Refusal, ScoreTerms, ScoreWeights } from "@berth/shared/domain/placement.ts";
import { refuse, reserve, scoreTerms, totalScore } from "@berth/shared/domain/placement.ts";
import { compareIds } from "./compare-ids.ts";

export interface BatchLot extends Lot {
  readonly slot: number;
  /** Hosts that declined this job in this round, with what they said. */
  readonly declinedBy: ReadonlyMap<HostId, Refusal>;
}

export interface Candidate {
  readonly hostId: HostId;
  readonly host: string;
  readonly bid: HostState | null;
  readonly score: number | null;
  readonly terms: ScoreTerms | null;
  readonly refusal: Refusal | null;
}

export type Placement =
  | {
      readonly outcome: "placed";
      readonly jobId: JobId;
      readonly hostId: HostId;
      readonly candidates: readonly Candidate[];
    }
  | {
      readonly outcome: "unplaceable";
      readonly jobId: JobId;
      readonly candidates: readonly Candidate[];
      readonly commonRefusal: string;
      /** True when no host could take the job even if it were empty. */
      readonly hopeless: boolean;
    };

/** @param silent hosts of the pod without a valid bid, and why */
export function placeBatch(
  lots: readonly BatchLot[],
  bids: readonly HostState[],
  silent: readonly { readonly hostId: HostId; readonly host: string; readonly refusal: Refusal }[],
  weights: ScoreWeights,
): Placement[] {
  let hosts = [...bids].sort((a, b) => compareIds(a.hostId, b.hostId));
  const placements: Placement[] = [];
  for (const lot of [...lots].sort(byTurn)) {
    const candidates = hosts.map((host) => judge(host, lot, weights));
    const winner = best(candidates);
    const all = [...candidates, ...silent.map(silentCandidate)];
    if (winner === null) {
      placements.push({
        outcome: "unplaceable",
        jobId: lot.jobId,
        candidates: all,
        ...explain(all, hosts, lot),
      });
      continue;
    }
    placements.push({ outcome: "placed", jobId: lot.jobId, hostId: winner.hostId, candidates: all });
    hosts = hosts.map((host) => (host.hostId === winner.hostId ? reserve(host, lot) : host));
  }
  return placements;
}

function byTurn(a: BatchLot, b: BatchLot): number {
  return a.slot - b.slot || b.resources.memoryBytes - a.resources.memoryBytes || compareIds(a.jobId, b.jobId);
}

function judge(host: HostState, lot: BatchLot, weights: ScoreWeights): Candidate {
  const refusal = lot.declinedBy.get(host.hostId) ?? refuse(host, lot);
  if (refusal !== null)
    return { hostId: host.hostId, host: host.name, bid: host, score: null, terms: null, refusal };
  const terms = scoreTerms(host, lot);
  return {
    hostId: host.hostId,
    host: host.name,
    bid: host,
    score: totalScore(terms, weights),
    terms,
    refusal: null,
  };
}

function silentCandidate(given: { hostId: HostId; host: string; refusal: Refusal }): Candidate {
  return { ...given, bid: null, score: null, terms: null };
}

/** The highest score; equal ones go to the smallest host id. */
function best(candidates: readonly Candidate[]): Candidate | null {
  let winner: Candidate | null = null;
  for (const one of candidates) {
    if (one.score !== null && (winner === null || one.score > (winner.score ?? 0))) winner = one;
  }
  return winner;
}

function explain(
  candidates: readonly Candidate[],
  hosts: readonly HostState[],
  lot: Lot,
): { commonRefusal: string; hopeless: boolean } {
  if (candidates.length === 0) return { commonRefusal: "the pod has no hosts", hopeless: false };
  const codes = new Set(candidates.map((one) => one.refusal?.code));
  const biggest = Math.max(0, ...hosts.map((host) => host.memoryTotalBytes));
  const hopeless =
    hosts.length > 0 &&
    hosts.length === candidates.length &&
    hosts.every((host) => lot.resources.memoryBytes > host.memoryTotalBytes);
  if (hopeless) {
    return {
      commonRefusal: `it needs ${lot.resources.memoryBytes} B of memory and the largest host has ${biggest} B`,
      hopeless,
    };
  }
  if (codes.size > 1)
    return { commonRefusal: `hosts refuse for different reasons: ${[...codes].sort().join(", ")}`, hopeless };
  const first = candidates[0]?.refusal;
  return { commonRefusal: `${first?.code ?? "refused"} on every host (${first?.detail ?? ""})`, hopeless };
}
