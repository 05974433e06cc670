/**
 * One host and one lot: a score, or why not. And what a lot must know of the zones.
 *
 * Pure. Both ways of placing a batch judge by these functions alone, so that they cannot differ.
 */
import type { HostState, Lot, Refusal, ScoreWeights } from "@berth/shared/domain/placement.ts";
import { refuse, scoreTerms, totalScore } from "@berth/shared/domain/placement.ts";
import type { HostPolicy } from "./candidates.ts";

/** A number, not an object: a large pod makes millions of them. */
export type Verdict = number | Refusal;

/** @param declined what the host said when it was awarded this very job before */
export function judgeHost(
  host: HostState,
  lot: Lot,
  weights: ScoreWeights,
  zoneHasFewest: boolean,
  policy: HostPolicy | undefined,
  declined: Refusal | undefined,
): Verdict {
  const refusal = declined ?? refuseByPolicy(policy, lot) ?? refuse(host, lot);
  return refusal ?? totalScore(scoreTerms(host, lot, zoneHasFewest), weights);
}

function refuseByPolicy(policy: HostPolicy | undefined, lot: Lot): Refusal | null {
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

/** Instances per service and zone, kept up while the batch is placed. */
export class ZoneCounts {
  readonly zones: readonly string[];
  readonly #hosts: readonly HostState[];
  /** Hosts with instances of a service, by their place in `hosts`; null: look at all. */
  readonly #hostsOf: ((serviceId: string) => Iterable<number>) | null;
  readonly #counts = new Map<string, Map<string, number>>();

  constructor(hosts: readonly HostState[], hostsOf: ((serviceId: string) => Iterable<number>) | null = null) {
    this.#hosts = [...hosts];
    this.#hostsOf = hostsOf;
    this.zones = [...new Set(hosts.map((host) => host.zone))];
  }

  #of(serviceId: string): Map<string, number> {
    const known = this.#counts.get(serviceId);
    if (known !== undefined) return known;
    const counts = new Map(this.zones.map((zone) => [zone, 0]));
    for (const index of this.#hostsOf?.(serviceId) ?? this.#hosts.keys()) {
      const host = this.#hosts[index];
      const here = host?.instancesByService[serviceId] ?? 0;
      if (host !== undefined && here > 0) counts.set(host.zone, (counts.get(host.zone) ?? 0) + here);
    }
    this.#counts.set(serviceId, counts);
    return counts;
  }

  add(serviceId: string, zone: string): void {
    if (this.zones.length < 2) return;
    const counts = this.#of(serviceId);
    counts.set(zone, (counts.get(zone) ?? 0) + 1);
  }

  hasFewest(serviceId: string, zone: string): boolean {
    if (this.zones.length < 2) return true;
    const counts = this.#of(serviceId);
    const here = counts.get(zone) ?? 0;
    for (const count of counts.values()) if (count < here) return false;
    return true;
  }
}
