/**
 * The auction's decision: a batch of lots against the hosts' standing bids.
 *
 * Pure, and independent of the order of `hosts`. What a lot takes is reserved in memory, so that the next lot of the
 * batch sees it. Larger ones come first, because small ones fill what they leave uneven; where not all find room, first
 * instances of everything come before second ones. A full pod is an answer.
 */
import type { HostId, JobId } from "@berth/shared/domain/ids.ts";
import type { HostState, Lot, Refusal, ScoreWeights } from "@berth/shared/domain/placement.ts";
import { scoreTerms } from "@berth/shared/domain/placement.ts";
import { formatBytes } from "@berth/shared/domain/resources.ts";
import type { BatchLot } from "./batch-lot.ts";
import type { Candidate, HostPolicy, SilentHost } from "./candidates.ts";
import { BEST_BIDS, bidder, refuser, SMALL_POD_HOSTS, unheard, unheardByCode } from "./candidates.ts";
import { compareIds } from "./compare-ids.ts";
import { placeEach } from "./place-each.ts";
import { placeRanked } from "./place-ranked.ts";
import type { Chooser, Ranking } from "./ranking.ts";

export type Placement =
  | {
      readonly outcome: "placed";
      readonly jobId: JobId;
      readonly hostId: HostId;
      /** How many hosts could have taken it. */
      readonly bidders: number;
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

/** Below this many lots the rankings of a large pod cost more than they spare. */
const FEW_LOTS = 6;

export interface Batch {
  readonly lots: readonly BatchLot[];
  readonly bids: readonly HostState[];
  /** Hosts of the pod without a valid bid, and why. */
  readonly silent: readonly SilentHost[];
  readonly weights: ScoreWeights;
  readonly policies: ReadonlyMap<HostId, HostPolicy>;
}

export function placeBatch(
  lots: readonly BatchLot[],
  bids: readonly HostState[],
  silent: readonly SilentHost[],
  weights: ScoreWeights,
  policies: ReadonlyMap<HostId, HostPolicy> = new Map(),
): Placement[] {
  const small = bids.length <= SMALL_POD_HOSTS || lots.length < FEW_LOTS;
  return placeBy(small ? "each" : "ranked", { lots, bids, silent, weights, policies });
}

/** @param way both decide the same: `each` is plain, `ranked` is for large pods and batches */
export function placeBy(way: "each" | "ranked", batch: Batch): Placement[] {
  const placements = placeInOrder(way, batch, largerFirst);
  return isUnfair(placements, batch.lots) ? placeInOrder(way, batch, firstInstancesFirst) : placements;
}

type Order = (a: BatchLot, b: BatchLot) => number;

function largerFirst(a: BatchLot, b: BatchLot): number {
  return b.resources.memoryBytes - a.resources.memoryBytes || a.slot - b.slot || compareIds(a.jobId, b.jobId);
}

function firstInstancesFirst(a: BatchLot, b: BatchLot): number {
  return a.slot - b.slot || largerFirst(a, b);
}

/** True when a lot found no room while a later instance of something did. */
function isUnfair(placements: readonly Placement[], lots: readonly BatchLot[]): boolean {
  const slotOf = new Map(lots.map(({ jobId, slot }) => [jobId, slot]));
  let [lastPlaced, firstLeft] = [0, Number.POSITIVE_INFINITY];
  for (const one of placements) {
    const slot = slotOf.get(one.jobId) ?? 0;
    if (one.outcome === "placed") lastPlaced = Math.max(lastPlaced, slot);
    else if (!one.hopeless) firstLeft = Math.min(firstLeft, slot);
  }
  return firstLeft < lastPlaced;
}

function placeInOrder(way: "each" | "ranked", batch: Batch, order: Order): Placement[] {
  const { lots, silent, weights, policies } = batch;
  const hosts = withoutReplaced(batch.bids, lots).sort((a, b) => compareIds(a.hostId, b.hostId));
  const rules = hosts.map((host) => policies.get(host.hostId));
  const chooser =
    way === "each" ? placeEach(hosts, weights, rules) : placeRanked(hosts, weights, rules, lots);
  const biggestBytes = hosts.reduce((most, host) => Math.max(most, host.memoryTotalBytes), 0);
  const leaves = replacedBy(lots);
  const newestFirst: Order = (a, b) => Number(leaves(a)) - Number(leaves(b)) || order(a, b);
  return [...lots].sort(newestFirst).map((lot) => {
    const ranking = chooser.choose(lot, BEST_BIDS);
    const candidates = describe(chooser, lot, ranking, silent);
    const winner = ranking.best[0];
    if (winner === undefined)
      return {
        ...{ outcome: "unplaceable", jobId: lot.jobId, candidates },
        ...explain(ranking, silent, hosts.length > 0, biggestBytes, lot),
      };
    const { hostId } = hosts[winner.index] as HostState;
    chooser.take(lot, winner.index);
    return { outcome: "placed", jobId: lot.jobId, hostId, bidders: ranking.bidders, candidates };
  });
}

/**
 * A change of count and size at once starts more instances of the release in rotation beside those of the next one. The
 * former leave soon, so they must not keep the latter apart from each other: they come after them.
 * @returns whether a lot's own deploy is replaced by another one of the batch
 */
function replacedBy(lots: readonly BatchLot[]): (lot: BatchLot) => boolean {
  const taking = lots.filter(({ former }) => former !== undefined);
  const services = new Set(taking.map(({ serviceId }) => serviceId));
  const deploys = new Set(taking.map(({ deployId }) => deployId));
  return ({ serviceId, deployId }) => services.has(serviceId) && !deploys.has(deployId);
}

/**
 * Instances that the batch replaces do not count for the spread: they leave once the new ones have taken over. But they
 * do while both run, so a lot that must be apart from all others sees them.
 */
function withoutReplaced(bids: readonly HostState[], lots: readonly BatchLot[]): HostState[] {
  const leaving = Map.groupBy(
    lots.filter(({ constraints }) => !constraints.apart),
    ({ former }) => former?.hostId,
  );
  return bids.map((host) => {
    const here = leaving.get(host.hostId) ?? [];
    if (here.length === 0) return host;
    const instancesByService = { ...host.instancesByService };
    for (const [serviceId, lotsOf] of Map.groupBy(here, (lot) => lot.serviceId)) {
      const recorded = Math.max(...lotsOf.map(({ former }) => former?.instancesCount ?? 0));
      const told = Math.min(instancesByService[serviceId] ?? 0, recorded);
      instancesByService[serviceId] = Math.max(0, told - lotsOf.length);
    }
    return { ...host, instancesByService };
  });
}

function describe(
  chooser: Chooser,
  lot: BatchLot,
  ranking: Ranking,
  silent: readonly SilentHost[],
): Candidate[] {
  const { hosts } = chooser;
  const bid = (index: number, score: number): Candidate => {
    const host = hosts[index] as HostState;
    return bidder(host, lot, score, scoreTerms(host, lot, chooser.zoneHasFewest(lot, host)));
  };
  if (hosts.length + silent.length <= SMALL_POD_HOSTS) {
    const spoken = hosts.map((host, index) => {
      const verdict = ranking.verdictOf(index);
      return typeof verdict === "number" ? bid(index, verdict) : refuser(host, lot, verdict);
    });
    return [...spoken, ...silent.map((one) => unheard(one))];
  }
  const refused = [...ranking.refused.values()].map(({ index, refusal, count }) =>
    refuser(hosts[index] as HostState, lot, refusal, count - 1),
  );
  return [...ranking.best.map(({ index, score }) => bid(index, score)), ...refused, ...unheardByCode(silent)];
}

function explain(
  ranking: Ranking,
  silent: readonly SilentHost[],
  anyHost: boolean,
  biggestBytes: number,
  lot: Lot,
): { commonRefusal: string; hopeless: boolean } {
  const refusals: Refusal[] = [
    ...[...ranking.refused.values()].map(({ refusal }) => refusal),
    ...silent.map(({ refusal }) => refusal),
  ];
  const [first] = refusals;
  if (first === undefined) return { commonRefusal: "the pod has no hosts", hopeless: false };
  const hopeless = anyHost && silent.length === 0 && lot.resources.memoryBytes > biggestBytes;
  if (hopeless) {
    return {
      commonRefusal: `it needs ${formatBytes(lot.resources.memoryBytes)} of memory, and the largest host offers ${formatBytes(biggestBytes)}`,
      hopeless,
    };
  }
  const codes = [...new Set(refusals.map(({ code }) => code))].sort();
  if (codes.length > 1)
    return { commonRefusal: `hosts refuse for different reasons: ${codes.join(", ")}`, hopeless };
  return { commonRefusal: `${first.code} on every host (${first.detail})`, hopeless };
}
