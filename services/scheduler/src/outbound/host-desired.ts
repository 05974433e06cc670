/**
 * Tells every host its whole desired set: on change, and every few seconds anyway (constant work).
 *
 * What must stay true: a set is called whole only by `core/desired-set.ts`.
 */
import { setImmediate } from "node:timers/promises";
import { HostDesired, MAX_PINNED_IMAGES } from "@berth/shared/contracts/job.ts";
import type { HostId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import {
  desiredByHost,
  findStrangers,
  type HostReport,
  isWhole,
  ReportedEpochs,
} from "../core/desired-set.ts";
import { type ReleaseImage, rollbackTargets } from "../core/rollback-targets.ts";
import type { Snapshot } from "./snapshot.ts";

const REPEAT_EVERY_MS = 4000;
/** A set that was told so often is repeated the less often the more jobs it names; never where a job runs by a lease. */
const TOLD_OFTEN = 3;
const REPEAT_PER_JOB_MS = 60;
const MOST_REPEAT_MS = 20_000;
const HOSTS_IN_ONE_GO = 20;
/** Pins are many and change slowly; agents take them for fresh ten times as long. */
const PINS_EVERY_MS = 60_000;

/** A heartbeat as a lease counts from it: by the host's own monotonic clock. */
interface Beat {
  readonly bootId: string;
  readonly monotonicMs: number;
}

export type Beats = ReadonlyMap<HostId, Beat>;

export class DesiredSets {
  readonly #bus: Bus;
  readonly #log: Log;
  readonly #sent = new Map<HostId, { content: string; atMs: number; times: number }>();
  /** With what it was worked out from. */
  readonly #pinned = new Map<
    HostId,
    { content: string; atMs: number; jobs: string; releases: readonly ReleaseImage[] }
  >();
  readonly #reports = new Map<HostId, HostReport>();
  /** Jobs of each host's list that the last reading did not know. */
  readonly #strangers = new Map<HostId, ReadonlySet<string>>();
  readonly #epochs = new ReportedEpochs();
  readonly #beats = new Map<HostId, Beat>();
  #revision = 0;

  constructor(given: { bus: Bus; log: Log }) {
    this.#bus = given.bus;
    this.#log = given.log;
  }

  /** Takes a host's own list; one that came out of order is dropped. */
  report(hostId: HostId, report: HostReport): void {
    if (report.atMs < (this.#reports.get(hostId)?.atMs ?? 0)) return;
    this.#reports.set(hostId, report);
    this.#epochs.take(hostId, report.jobs);
  }

  /** Takes a stored heartbeat; one that came out of order is dropped. */
  answer(hostId: HostId, beat: Beat): void {
    const known = this.#beats.get(hostId);
    if (known?.bootId !== beat.bootId || beat.monotonicMs > known.monotonicMs) this.#beats.set(hostId, beat);
  }

  /** The newest stored heartbeats: to be taken before the record is read, because a set answers what was known then. */
  beats(): Beats {
    return new Map(this.#beats);
  }

  /** Every job that hosts reported: a snapshot tells which of them the record knows. */
  reported(): string[] {
    return [...this.#reports.values()].flatMap(({ jobs }) => jobs.map(({ jobId }) => jobId));
  }

  /** True for a job that must not be auctioned: a host holds a later epoch of it. */
  isHeldLater(job: { readonly id: string; readonly epoch: number }): boolean {
    return this.#epochs.isHeldLater(job.id, job.epoch);
  }

  #isWhole(hostId: HostId, known: ReadonlyMap<string, number>, nowMs: number): boolean {
    const report = this.#reports.get(hostId);
    const strangers = findStrangers(report?.jobs ?? [], known);
    // A list that came after the reading began may name what was made since: the next reading knows that.
    const lasting = [...strangers].filter((jobId) => this.#strangers.get(hostId)?.has(jobId) === true);
    this.#strangers.set(hostId, strangers);
    if (lasting.length > 0)
      this.#log.error("host.unknown-jobs", {
        hostId,
        jobs: lasting.slice(0, 10),
        next: "the record may be older than the hosts; nothing is stopped",
      });
    return isWhole(report, known, nowMs);
  }

  /**
   * Lets others go on between hosts: a thousand sets in one go would hold up awards.
   * @param releases null when they were not read: then no set tells of images
   */
  async send(
    snapshot: Snapshot,
    leaderEpoch: number,
    beats: Beats,
    releases: readonly ReleaseImage[] | null,
  ): Promise<void> {
    const nowMs = Date.now();
    const byHost = desiredByHost(snapshot.jobs);
    const told = new Pins(snapshot, releases);
    const leased = hostsWithLeases(snapshot);
    for (const [at, host] of snapshot.hosts.entries()) {
      if (at % HOSTS_IN_ONE_GO === HOSTS_IN_ONE_GO - 1) await setImmediate();
      const jobs = byHost.get(host.id) ?? [];
      const whole = this.#isWhole(host.id, snapshot.reported, nowMs);
      const content = JSON.stringify([whole, jobs]);
      const last = this.#sent.get(host.id);
      const pins = whole ? this.#pinsToTell(host.id, content, told, nowMs) : null;
      const times = last?.content === content ? last.times + 1 : 1;
      const restMs = times <= TOLD_OFTEN || leased.has(host.id) ? REPEAT_EVERY_MS : repeatMs(jobs.length);
      if (last !== undefined && times > 1 && nowMs - last.atMs < restMs && pins === null) continue;
      this.#sent.set(host.id, { content, atMs: nowMs, times });
      this.#revision += 1;
      const answersBeat = beats.get(host.id);
      this.#bus.signal(HostDesired, {
        hostId: host.id,
        leaderEpoch,
        revision: this.#revision,
        whole,
        madeAtMs: snapshot.readAtMs,
        ...(answersBeat === undefined ? {} : { answersBeat }),
        jobs,
        ...(pins === null ? {} : { pinnedImages: pins }),
      });
    }
  }

  /** @returns null when the host was told the same a short while ago */
  #pinsToTell(hostId: HostId, jobs: string, told: Pins, nowMs: number): string[] | null {
    if (told.releases === null) return null;
    const last = this.#pinned.get(hostId);
    const isFresh = last !== undefined && nowMs - last.atMs < PINS_EVERY_MS;
    if (isFresh && last.jobs === jobs && last.releases === told.releases) return null;
    const pins = told.of(hostId);
    const content = pins.join();
    if (isFresh && last.content === content) {
      this.#pinned.set(hostId, { ...last, jobs, releases: told.releases });
      return null;
    }
    this.#pinned.set(hostId, { content, atMs: nowMs, jobs, releases: told.releases });
    return pins;
  }
}

/** What hosts are to keep, worked out when it is asked for. */
class Pins {
  readonly releases: readonly ReleaseImage[] | null;
  readonly #snapshot: Snapshot;
  #servicesOf: ReadonlyMap<HostId, ReadonlySet<ServiceId>> | null = null;
  #releasesOf: ReadonlyMap<ServiceId, readonly ReleaseImage[]> | null = null;

  constructor(snapshot: Snapshot, releases: readonly ReleaseImage[] | null) {
    this.#snapshot = snapshot;
    this.releases = releases;
  }

  of(hostId: HostId): string[] {
    this.#servicesOf ??= servicesByHost(this.#snapshot);
    this.#releasesOf ??= Map.groupBy(this.releases ?? [], ({ serviceId }) => serviceId);
    const here = this.#servicesOf.get(hostId) ?? NONE;
    const releases = [...here].flatMap((serviceId) => this.#releasesOf?.get(serviceId) ?? []);
    return rollbackTargets(releases, here, MAX_PINNED_IMAGES);
  }
}

function repeatMs(jobsCount: number): number {
  return Math.min(MOST_REPEAT_MS, Math.max(REPEAT_EVERY_MS, jobsCount * REPEAT_PER_JOB_MS));
}

/** Leases count from heartbeats that sets answer. */
function hostsWithLeases({ jobs }: Snapshot): ReadonlySet<HostId> {
  const leased = jobs.filter(
    ({ view: { partition } }) => partition.singleWriter || partition.stopAfterMs !== null,
  );
  return new Set(leased.flatMap(({ view }) => view.hostId ?? []));
}

const NONE: ReadonlySet<ServiceId> = new Set();

function servicesByHost({ jobs }: Snapshot): ReadonlyMap<HostId, ReadonlySet<ServiceId>> {
  const byHost = new Map<HostId, Set<ServiceId>>();
  for (const { view, serviceId } of jobs) {
    if (view.hostId === null) continue;
    const known = byHost.get(view.hostId);
    if (known === undefined) byHost.set(view.hostId, new Set([serviceId]));
    else known.add(serviceId);
  }
  return byHost;
}
