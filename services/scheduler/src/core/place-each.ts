/**
 * The auction's rule in its plainest form: for every lot every host is judged, and the best gets it.
 *
 * Right for small pods and small batches, and the yardstick for `place-ranked.ts`, which must decide the same.
 */
import type { HostState, Refusal, ScoreWeights } from "@berth/shared/domain/placement.ts";
import { reserve } from "@berth/shared/domain/placement.ts";
import type { BatchLot } from "./batch-lot.ts";
import type { HostPolicy } from "./candidates.ts";
import { byScore, type Scored } from "./host-heap.ts";
import { judgeHost, type Verdict, ZoneCounts } from "./judge-host.ts";
import type { Chooser, Ranking, RefusedGroup } from "./ranking.ts";

export function placeEach(
  given: readonly HostState[],
  weights: ScoreWeights,
  policies: readonly (HostPolicy | undefined)[],
): Chooser {
  const hosts = [...given];
  const zones = new ZoneCounts(hosts);
  const zoneHasFewest = (lot: BatchLot, host: HostState) => zones.hasFewest(lot.serviceId, host.zone);
  return {
    hosts,
    zoneHasFewest,
    choose: (lot, bestCount) => {
      const fewest = new Set(zones.zones.filter((zone) => zones.hasFewest(lot.serviceId, zone)));
      const declined = lot.declinedBy.size === 0 ? null : lot.declinedBy;
      const verdicts = hosts.map((host, index) =>
        judgeHost(host, lot, weights, fewest.has(host.zone), policies[index], declined?.get(host.hostId)),
      );
      return rank(verdicts, bestCount);
    },
    take: (lot, index) => {
      const host = hosts[index] as HostState;
      hosts[index] = reserve(host, lot);
      zones.add(lot.serviceId, host.zone);
    },
  };
}

function rank(verdicts: readonly Verdict[], bestCount: number): Ranking {
  const refused = new Map<Refusal["code"], RefusedGroup>();
  const best: Scored[] = [];
  let bidders = 0;
  for (const [index, verdict] of verdicts.entries()) {
    if (typeof verdict === "number") {
      bidders += 1;
      keepBest(best, { index, score: verdict }, bestCount);
      continue;
    }
    const group = refused.get(verdict.code);
    if (group === undefined) refused.set(verdict.code, { index, refusal: verdict, count: 1 });
    else refused.set(verdict.code, { ...group, count: group.count + 1 });
  }
  return { best, bidders, refused, verdictOf: (index) => verdicts[index] as Verdict };
}

function keepBest(best: Scored[], one: Scored, count: number): void {
  const last = best.at(-1);
  if (best.length >= count && last !== undefined && byScore(last, one) < 0) return;
  const at = best.findIndex((other) => byScore(one, other) < 0);
  best.splice(at < 0 ? best.length : at, 0, one);
  if (best.length > count) best.pop();
}
