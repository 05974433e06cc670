/**
 * The auction's decision: a batch of lots against the hosts' standing bids.
 *
 * Pure, and independent of the order of `hosts`. First instances of everything come before second ones, larger ones
 * first; what a lot takes is reserved in memory, so that the next lot of the batch sees it. A full pod is an answer.
 */
import type { HostId, JobId, OrgId } from "@berth/shared/domain/ids.ts";
import type { HostState, Lot, Refusal, ScoreTerms, ScoreWeights } from "@berth/shared/domain/placement.ts";
import { refuse, reserve, scoreTerms, totalScore } from "@berth/shared/domain/placement.ts";
import { formatBytes } from "@berth/shared/domain/resources.ts";
import { compareIds } from "./compare-ids.ts";

export interface BatchLot extends Lot {
  readonly slot: number;
  /** Hosts that declined this job in this round, with what they said. */
  readonly declinedBy: ReadonlyMap<HostId, Refusal>;
}

/** What the record, not the host, says of a host. */
export interface HostPolicy {
  readonly labels: Readonly<Record<string, string>>;
  readonly dedicatedTo: OrgId | null;
  readonly cordoned: boolean;
  readonly draining: boolean;
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

export interface SilentHost {
  readonly hostId: HostId;
  readonly host: string;
  readonly refusal: Refusal;
}

/** A decision keeps this many candidates: the best, then the refused. */
export const MOST_CANDIDATES = 50;

/** @param silent hosts of the pod without a valid bid, and why */
export function placeBatch(
  lots: readonly BatchLot[],
  bids: readonly HostState[],
  silent: readonly SilentHost[],
  weights: ScoreWeights,
  policies: ReadonlyMap<HostId, HostPolicy> = new Map(),
): Placement[] {
  const hosts = [...bids].sort((a, b) => compareIds(a.hostId, b.hostId));
  const zones = new ZoneCounts(hosts);
  return [...lots].sort(byTurn).map((lot) => {
    const verdicts = hosts.map((host) => judge(host, lot, weights, zones, policies.get(host.hostId)));
    const winner = indexOfBest(verdicts);
    const candidates = describe(lot, hosts, verdicts, winner, zones, silent);
    const host = hosts[winner];
    if (host === undefined) {
      const refused = [...verdicts.map(refusalOf), ...silent.map((one) => one.refusal)];
      return { outcome: "unplaceable", jobId: lot.jobId, candidates, ...explain(refused, hosts, lot) };
    }
    hosts[winner] = reserve(host, lot);
    zones.add(lot.serviceId, host.zone);
    return { outcome: "placed", jobId: lot.jobId, hostId: host.hostId, candidates };
  });
}

/** A score, or why not. A number, not an object: a large pod makes millions of them. */
type Verdict = number | Refusal;

function byTurn(a: BatchLot, b: BatchLot): number {
  return a.slot - b.slot || b.resources.memoryBytes - a.resources.memoryBytes || compareIds(a.jobId, b.jobId);
}

/** Instances per service and zone, kept up while the batch is placed. */
class ZoneCounts {
  readonly #zones: readonly string[];
  readonly #hosts: readonly HostState[];
  readonly #counts = new Map<string, Map<string, number>>();

  constructor(hosts: readonly HostState[]) {
    this.#hosts = [...hosts];
    this.#zones = [...new Set(hosts.map((host) => host.zone))];
  }

  #of(serviceId: string): Map<string, number> {
    const known = this.#counts.get(serviceId);
    if (known !== undefined) return known;
    const counts = new Map(this.#zones.map((zone) => [zone, 0]));
    for (const host of this.#hosts) {
      const here = host.instancesByService[serviceId] ?? 0;
      if (here > 0) counts.set(host.zone, (counts.get(host.zone) ?? 0) + here);
    }
    this.#counts.set(serviceId, counts);
    return counts;
  }

  add(serviceId: string, zone: string): void {
    const counts = this.#of(serviceId);
    counts.set(zone, (counts.get(zone) ?? 0) + 1);
  }

  hasFewest(serviceId: string, zone: string): boolean {
    if (this.#zones.length < 2) return true;
    const counts = this.#of(serviceId);
    const here = counts.get(zone) ?? 0;
    for (const count of counts.values()) if (count < here) return false;
    return true;
  }
}

function judge(
  host: HostState,
  lot: BatchLot,
  weights: ScoreWeights,
  zones: ZoneCounts,
  policy: HostPolicy | undefined,
): Verdict {
  const refusal = lot.declinedBy.get(host.hostId) ?? refuseByPolicy(policy, lot) ?? refuse(host, lot);
  if (refusal !== null) return refusal;
  return totalScore(scoreTerms(host, lot, zones.hasFewest(lot.serviceId, host.zone)), weights);
}

function refusalOf(verdict: Verdict): Refusal | null {
  return typeof verdict === "number" ? null : verdict;
}

function refuseByPolicy(policy: HostPolicy | undefined, lot: BatchLot): Refusal | null {
  if (policy === undefined) return null;
  if (policy.cordoned) return { code: "cordoned", detail: "an operator cordoned this host" };
  if (policy.draining) return { code: "draining", detail: "its work moves to other hosts" };
  if (policy.dedicatedTo !== null && policy.dedicatedTo !== lot.orgId) {
    return { code: "dedicated-to-another-org", detail: "this host takes work of one org only" };
  }
  for (const [name, value] of Object.entries(lot.constraints.labels)) {
    if (policy.labels[name] !== value)
      return { code: "label-missing", detail: `needs the label ${name}=${value}` };
  }
  return null;
}

/** The highest score; equal ones go to the smallest host id, which comes first. @returns -1 when all refused */
function indexOfBest(verdicts: readonly Verdict[]): number {
  let best = -1;
  let bestScore = Number.NEGATIVE_INFINITY;
  for (const [index, verdict] of verdicts.entries()) {
    if (typeof verdict !== "number" || verdict <= bestScore) continue;
    best = index;
    bestScore = verdict;
  }
  return best;
}

/** All candidates of a small pod; of a large one the winner, some others that bid, and some that refused. */
function describe(
  lot: BatchLot,
  hosts: readonly HostState[],
  verdicts: readonly Verdict[],
  winner: number,
  zones: ZoneCounts,
  silent: readonly SilentHost[],
): Candidate[] {
  const all = hosts.length + silent.length <= MOST_CANDIDATES;
  const told = all ? [...hosts.keys()] : pickSome(verdicts, winner);
  const spoken = told.map((index): Candidate => {
    const host = hosts[index] as HostState;
    const verdict = verdicts[index] as Verdict;
    const known = { hostId: host.hostId, host: host.name, bid: host };
    if (typeof verdict !== "number") return { ...known, score: null, terms: null, refusal: verdict };
    const terms = scoreTerms(host, lot, zones.hasFewest(lot.serviceId, host.zone));
    return { ...known, score: verdict, terms, refusal: null };
  });
  const unheard = silent.slice(0, MOST_CANDIDATES - spoken.length);
  return [...spoken, ...unheard.map((one) => ({ ...one, bid: null, score: null, terms: null }))];
}

function pickSome(verdicts: readonly Verdict[], winner: number): number[] {
  const bidders: number[] = [];
  const refusers: number[] = [];
  for (const [index, verdict] of verdicts.entries()) {
    const list = typeof verdict === "number" ? bidders : refusers;
    if (index !== winner && list.length < MOST_CANDIDATES / 2 - 1) list.push(index);
  }
  return [...(winner < 0 ? [] : [winner]), ...bidders, ...refusers];
}

function explain(
  refused: readonly (Refusal | null)[],
  hosts: readonly HostState[],
  lot: Lot,
): { commonRefusal: string; hopeless: boolean } {
  if (refused.length === 0) return { commonRefusal: "the pod has no hosts", hopeless: false };
  const codes = new Set(refused.map((one) => one?.code ?? "refused"));
  const biggest = Math.max(0, ...hosts.map((host) => host.memoryTotalBytes));
  const hopeless =
    hosts.length > 0 &&
    hosts.length === refused.length &&
    hosts.every((host) => lot.resources.memoryBytes > host.memoryTotalBytes);
  if (hopeless) {
    return {
      commonRefusal: `it needs ${formatBytes(lot.resources.memoryBytes)} of memory, and the largest host offers ${formatBytes(biggest)}`,
      hopeless,
    };
  }
  if (codes.size > 1)
    return { commonRefusal: `hosts refuse for different reasons: ${[...codes].sort().join(", ")}`, hopeless };
  const first = refused[0];
  return { commonRefusal: `${first?.code ?? "refused"} on every host (${first?.detail ?? ""})`, hopeless };
}
