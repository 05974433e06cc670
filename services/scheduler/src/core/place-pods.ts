/**
 * The auction's decision over several pods: each lot goes to its own pod's hosts, by that pod's strategy.
 *
 * Pods share no host, so each is placed by itself; the hosts of the others are told as refusals, so that nobody
 * wonders why an empty host next door was not taken.
 */
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { HostState, Refusal, ScoreWeights } from "@berth/shared/domain/placement.ts";
import { BINPACK_WEIGHTS, DEFAULT_WEIGHTS } from "@berth/shared/domain/placement.ts";
import type { BatchLot } from "./batch-lot.ts";
import type { HostPolicy, SilentHost } from "./candidates.ts";
import { unheard, unheardByCode } from "./candidates.ts";
import type { Placement } from "./place-batch.ts";
import { placeBatch } from "./place-batch.ts";

export type Strategy = "spread" | "binpack";

export const WEIGHTS: Readonly<Record<Strategy, ScoreWeights>> = {
  spread: DEFAULT_WEIGHTS,
  binpack: BINPACK_WEIGHTS,
};

export const MAIN_POD = "main";

/** Who belongs where. A service or host that is not named is of `main`, a pod that is not named spreads. */
export interface Pods {
  readonly strategies: ReadonlyMap<string, Strategy>;
  readonly ofHost: ReadonlyMap<string, string>;
  readonly ofService: ReadonlyMap<string, string>;
}

/** @param silent hosts without a valid bid, and why */
export function placePods(
  lots: readonly BatchLot[],
  bids: readonly HostState[],
  silent: readonly SilentHost[],
  pods: Pods,
  policies: ReadonlyMap<HostId, HostPolicy>,
): Placement[] {
  const podOf = (host: { readonly hostId: HostId }) => pods.ofHost.get(host.hostId) ?? MAIN_POD;
  const lotsByPod = Map.groupBy(lots, (lot) => pods.ofService.get(lot.serviceId) ?? MAIN_POD);
  const bidsByPod = Map.groupBy(bids, podOf);
  return [...lotsByPod].flatMap(([pod, ofPod]) => {
    const own = bidsByPod.get(pod) ?? [];
    const ownSilent = silent.filter((host) => podOf(host) === pod);
    const weights = WEIGHTS[pods.strategies.get(pod) ?? "spread"];
    const placements = placeBatch(ofPod, own, ownSilent, weights, policies);
    const others =
      bids.length === own.length
        ? []
        : bids.filter((bid) => podOf(bid) !== pod).map((bid) => elsewhere(bid, podOf(bid), pod));
    if (others.length === 0) return placements;
    const told = others.length <= MOST_OTHERS ? others.map((one) => unheard(one)) : unheardByCode(others);
    return placements.map((placement) => ({ ...placement, candidates: [...placement.candidates, ...told] }));
  });
}

/** Up to this many hosts of other pods are named one by one. */
const MOST_OTHERS = 8;

function elsewhere(bid: HostState, pod: string, wanted: string): SilentHost {
  const refusal: Refusal = {
    code: "other-pod",
    detail: `it is in the pod ${pod}, the job's pod is ${wanted}`,
  };
  return { hostId: bid.hostId, host: bid.name, refusal };
}
