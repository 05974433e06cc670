/**
 * The auction's rule for large pods: decides as `place-each.ts` does, without judging every host for every lot.
 *
 * Lots that a host without any relation to them cannot tell apart (same resources, labels, runtime) share one ranking
 * of the hosts, kept as heaps per zone. After a placement one host has changed, so one host is judged again. Hosts that
 * do have a relation to a lot, because they hold instances of its service or of its neighbour, the job that it replaces,
 * its image or the former one, or declined it, are judged for that lot alone.
 */
import type { HostId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { HostState, Lot, Refusal, ScoreWeights } from "@berth/shared/domain/placement.ts";
import { reserve } from "@berth/shared/domain/placement.ts";
import type { BatchLot } from "./batch-lot.ts";
import type { HostPolicy } from "./candidates.ts";
import { byScore, HostHeap, type Scored } from "./host-heap.ts";
import { judgeHost, type Verdict, ZoneCounts } from "./judge-host.ts";
import type { Chooser, Ranking, RefusedGroup } from "./ranking.ts";

/** No service and no image: what a host without a relation to the lot sees. */
const NOBODY = "" as ServiceId;
const NO_IMAGE = "";

export function placeRanked(
  given: readonly HostState[],
  weights: ScoreWeights,
  policies: readonly (HostPolicy | undefined)[],
  lots: readonly BatchLot[],
): Chooser {
  const digests = new Set(lots.flatMap(imagesOf));
  // A host may hold a thousand images; only those of the batch count here.
  const hosts = given.map((host) => leanHost(host, digests));
  const related = new Relations(hosts);
  const zones = new ZoneCounts(hosts, (serviceId) => related.ofService(serviceId));
  const anyDedicated = policies.some((policy) => policy !== undefined && policy.dedicatedTo !== null);
  const changes: number[] = [];
  const classes = new Map<string, ClassRanking>();
  const zoneHasFewest = (lot: BatchLot, host: HostState) => zones.hasFewest(lot.serviceId, host.zone);
  const judge = (lot: Lot, index: number, fewest: boolean, declined?: Refusal): Verdict =>
    judgeHost(hosts[index] as HostState, lot, weights, fewest, policies[index], declined);
  const classOf = (lot: BatchLot): ClassRanking => {
    const key = classKey(lot, anyDedicated);
    const known = classes.get(key);
    if (known !== undefined) return known;
    const stranger = asStranger(lot);
    const made = new ClassRanking(hosts, changes, (index, fewest) => judge(stranger, index, fewest));
    classes.set(key, made);
    return made;
  };
  return {
    hosts,
    zoneHasFewest,
    choose: (lot, bestCount) => {
      const verdictOf = (index: number): Verdict => {
        const host = hosts[index] as HostState;
        return judge(lot, index, zoneHasFewest(lot, host), lot.declinedBy.get(host.hostId));
      };
      return classOf(lot).rank(related.of(lot), verdictOf, bestCount, (zone) =>
        zones.hasFewest(lot.serviceId, zone),
      );
    },
    take: (lot, index) => {
      const host = hosts[index] as HostState;
      zones.add(lot.serviceId, host.zone);
      hosts[index] = reserve(host, lot);
      related.add(lot.serviceId, index);
      changes.push(index);
    },
  };
}

function leanHost(host: HostState, digests: ReadonlySet<string>): HostState {
  return { ...host, imageDigests: host.imageDigests.filter((digest) => digests.has(digest)) };
}

/** What a host without any relation to a lot sees of it; equal ones share a ranking. */
function classKey({ orgId, resources, constraints }: BatchLot, anyDedicated: boolean): string {
  const { labels, runtime, volumeId } = constraints;
  return JSON.stringify([resources, labels, runtime, volumeId, anyDedicated ? orgId : null]);
}

/** Fields that the key leaves out, because they name the lot's own service or its image. A new one must be put somewhere. */
type LeftOut =
  | "jobId"
  | "slot"
  | "deployId"
  | "process"
  | "declinedBy"
  | "imageBytes"
  | "imageDigest"
  | "serviceId"
  | "former";
type Unplaced =
  | Exclude<keyof BatchLot, LeftOut | "orgId" | "resources" | "constraints">
  | Exclude<keyof Lot["constraints"], "labels" | "runtime" | "volumeId" | "nearServiceId" | "apart">;

/** Its image, and the one that shares most layers with it. */
function imagesOf({ imageDigest, former }: Lot): string[] {
  return former === undefined ? [imageDigest] : [imageDigest, former.imageDigest];
}

/** The lot without all that names its own service. */
function asStranger(lot: BatchLot): Unplaced extends never ? Lot : never {
  const constraints = { ...lot.constraints, nearServiceId: null, apart: false };
  const { former: _former, ...rest } = lot;
  return { ...rest, serviceId: NOBODY, imageDigest: NO_IMAGE, constraints };
}

/** Which hosts have something to do with a lot. */
class Relations {
  readonly #hosts: readonly HostState[];
  readonly #byService = new Map<string, Set<number>>();
  readonly #byImage = new Map<string, Set<number>>();
  readonly #byHostId: ReadonlyMap<HostId, number>;

  constructor(hosts: readonly HostState[]) {
    this.#hosts = hosts;
    this.#byHostId = new Map(hosts.map((host, index) => [host.hostId, index]));
    for (const [index, host] of hosts.entries()) {
      for (const [serviceId, count] of Object.entries(host.instancesByService))
        if (count > 0) this.add(serviceId, index);
      for (const digest of host.imageDigests) addTo(this.#byImage, digest, index);
    }
  }

  add(serviceId: string, index: number): void {
    addTo(this.#byService, serviceId, index);
  }

  ofService(serviceId: string): ReadonlySet<number> {
    return this.#byService.get(serviceId) ?? NONE;
  }

  of(lot: BatchLot): ReadonlySet<number> {
    const near = lot.constraints.nearServiceId;
    const all = new Set(this.ofService(lot.serviceId));
    for (const digest of imagesOf(lot)) for (const index of this.#byImage.get(digest) ?? NONE) all.add(index);
    if (near !== null) for (const index of this.ofService(near)) all.add(index);
    const named = lot.former === undefined ? [] : [lot.former.hostId];
    for (const hostId of [...lot.declinedBy.keys(), ...named]) {
      const index = this.#byHostId.get(hostId);
      if (index !== undefined && this.#hosts[index] !== undefined) all.add(index);
    }
    return all;
  }
}

const NONE: ReadonlySet<number> = new Set();

function addTo(map: Map<string, Set<number>>, key: string, index: number): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, new Set([index]));
  else known.add(index);
}

/** Above this share of related hosts, judging all of them once is less work than leaving many out of the heaps. */
const MOST_RELATED_SHARE = 0.2;

/** Hosts in the order in which they suit one class of lots, as long as they have no relation to the lot. */
class ClassRanking {
  readonly #hosts: readonly HostState[];
  readonly #changes: readonly number[];
  readonly #judge: (index: number, zoneHasFewest: boolean) => Verdict;
  /** By zone, for lots whose service the zone has fewest of, and for the others. */
  readonly #heaps = new Map<string, { fewest: HostHeap; more: HostHeap }>();
  readonly #refusals = new Map<number, Refusal>();
  readonly #byCode = new Map<Refusal["code"], Set<number>>();
  #seen: number;

  constructor(
    hosts: readonly HostState[],
    changes: readonly number[],
    judge: (index: number, zoneHasFewest: boolean) => Verdict,
  ) {
    this.#hosts = hosts;
    this.#changes = changes;
    this.#judge = judge;
    this.#seen = changes.length;
    for (const zone of new Set(hosts.map((host) => host.zone)))
      this.#heaps.set(zone, { fewest: new HostHeap(hosts.length), more: new HostHeap(hosts.length) });
    for (const index of hosts.keys()) this.#update(index);
  }

  rank(
    related: ReadonlySet<number>,
    verdictOf: (index: number) => Verdict,
    bestCount: number,
    zoneHasFewest: (zone: string) => boolean,
  ): Ranking {
    this.#catchUp();
    const strangers =
      related.size > this.#hosts.length * MOST_RELATED_SHARE
        ? this.#rankAll(related, zoneHasFewest)
        : this.#bestStrangers(related, bestCount, zoneHasFewest);
    const own = [...related].map((index) => ({ index, verdict: verdictOf(index) }));
    const best = strangers;
    for (const { index, verdict } of own)
      if (typeof verdict === "number") best.push({ index, score: verdict });
    best.sort(byScore);
    if (best.length > bestCount) best.length = bestCount;
    const refused = this.#refusedGroups(related, own);
    let bidders = this.#hosts.length;
    for (const { count } of refused.values()) bidders -= count;
    return { best, bidders, refused, verdictOf };
  }

  #catchUp(): void {
    const { length } = this.#changes;
    if (length === this.#seen + 1) this.#update(this.#changes[this.#seen] as number);
    else for (const index of new Set(this.#changes.slice(this.#seen))) this.#update(index);
    this.#seen = length;
  }

  #update(index: number): void {
    const heaps = this.#heapsOf(index);
    const verdict = this.#judge(index, true);
    const before = this.#refusals.get(index);
    if (before !== undefined) this.#byCode.get(before.code)?.delete(index);
    if (typeof verdict === "number") {
      this.#refusals.delete(index);
      heaps.fewest.set(index, verdict);
      if (this.#heaps.size > 1) heaps.more.set(index, this.#judge(index, false) as number);
      return;
    }
    this.#refusals.set(index, verdict);
    addCode(this.#byCode, verdict.code, index);
    heaps.fewest.remove(index);
    heaps.more.remove(index);
  }

  #heapsOf(index: number): { fewest: HostHeap; more: HostHeap } {
    return this.#heaps.get((this.#hosts[index] as HostState).zone) as { fewest: HostHeap; more: HostHeap };
  }

  #bestStrangers(
    related: ReadonlySet<number>,
    bestCount: number,
    zoneHasFewest: (zone: string) => boolean,
  ): Scored[] {
    return [...this.#heaps].flatMap(([zone, heaps]) =>
      (zoneHasFewest(zone) ? heaps.fewest : heaps.more).best(bestCount, related),
    );
  }

  #rankAll(related: ReadonlySet<number>, zoneHasFewest: (zone: string) => boolean): Scored[] {
    return [...this.#hosts.entries()].flatMap(([index, host]) => {
      if (related.has(index)) return [];
      const verdict = this.#judge(index, zoneHasFewest(host.zone));
      return typeof verdict === "number" ? [{ index, score: verdict }] : [];
    });
  }

  #refusedGroups(
    related: ReadonlySet<number>,
    own: readonly { index: number; verdict: Verdict }[],
  ): Map<Refusal["code"], RefusedGroup> {
    const groups = new Map<Refusal["code"], RefusedGroup>();
    for (const [code, members] of this.#byCode) {
      const apart = [...related].filter((index) => members.has(index)).length;
      const count = members.size - apart;
      const index = count === 0 ? undefined : members.values().find((one) => !related.has(one));
      const refusal = index === undefined ? undefined : this.#refusals.get(index);
      if (index !== undefined && refusal !== undefined) groups.set(code, { index, refusal, count });
    }
    for (const { index, verdict } of own) {
      if (typeof verdict === "number") continue;
      const group = groups.get(verdict.code) ?? { index, refusal: verdict, count: 0 };
      groups.set(verdict.code, { ...group, count: group.count + 1 });
    }
    return groups;
  }
}

function addCode(map: Map<Refusal["code"], Set<number>>, code: Refusal["code"], index: number): void {
  const known = map.get(code);
  if (known === undefined) map.set(code, new Set([index]));
  else known.add(index);
}
