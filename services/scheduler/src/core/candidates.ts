/**
 * What a decision tells of the hosts, for `berth why`.
 *
 * In a small pod every host is a candidate. In a large one a decision keeps the best bids and, for every code of
 * refusal, one host with how many more refused so: a thousand bids per job would be more than the job itself.
 */
import type { HostId, OrgId } from "@berth/shared/domain/ids.ts";
import type { HostState, Lot, Refusal, ScoreTerms } from "@berth/shared/domain/placement.ts";

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
  /** What concerns the lot: other services' instances and images are left out. */
  readonly bid: HostState | null;
  readonly score: number | null;
  readonly terms: ScoreTerms | null;
  readonly refusal: Refusal | null;
}

export interface SilentHost {
  readonly hostId: HostId;
  readonly host: string;
  readonly refusal: Refusal;
}

/** Up to this many hosts every one is a candidate. */
export const SMALL_POD_HOSTS = 50;
/** Bids that a decision of a large pod keeps: the winner and the next best. */
export const BEST_BIDS = 3;

const MOST_DETAIL = 300;

export function bidder(host: HostState, lot: Lot, score: number, terms: ScoreTerms): Candidate {
  return { hostId: host.hostId, host: host.name, bid: bidFor(host, lot), score, terms, refusal: null };
}

/** @param more how many other hosts refuse with the same code and are not told */
export function refuser(host: HostState, lot: Lot, refusal: Refusal, more = 0): Candidate {
  return {
    ...{ hostId: host.hostId, host: host.name, bid: bidFor(host, lot) },
    ...{ score: null, terms: null, refusal: withMore(refusal, more) },
  };
}

function bidFor(host: HostState, lot: Lot): HostState {
  const { serviceId, imageDigest, constraints } = lot;
  const near = constraints.nearServiceId;
  const told = near === null || near === serviceId ? [serviceId] : [serviceId, near];
  return {
    ...host,
    volumes: constraints.volumeId === null ? [] : host.volumes.filter((id) => id === constraints.volumeId),
    imageDigests: host.imageDigests.includes(imageDigest) ? [imageDigest] : [],
    instancesByService: countsOf(host, told),
  };
}

function countsOf(host: HostState, services: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const id of services) {
    const count = host.instancesByService[id];
    if (count !== undefined) counts[id] = count;
  }
  return counts;
}

export function unheard(silent: SilentHost, more = 0): Candidate {
  const refusal = withMore(silent.refusal, more);
  return { ...silent, refusal, bid: null, score: null, terms: null };
}

/** One silent host per code, with how many more there are. */
export function unheardByCode(silent: readonly SilentHost[]): Candidate[] {
  const groups = [...Map.groupBy(silent, (one) => one.refusal.code).values()];
  return groups.map((group) => unheard(group[0] as SilentHost, group.length - 1));
}

function withMore(refusal: Refusal, more: number): Refusal {
  if (more === 0) return refusal;
  const tail = ` (and ${more} more host${more === 1 ? "" : "s"})`;
  return { code: refusal.code, detail: `${refusal.detail.slice(0, MOST_DETAIL - tail.length)}${tail}` };
}
