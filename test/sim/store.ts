/**
 * The record: what PostgreSQL holds, with the same conditions on every write. A transaction is one call, so it is
 * atomic; rows are replaced, never changed, so a snapshot is a copy of the maps.
 */
import type { JobSpec } from "@berth/shared/contracts/job.ts";
import type { DeployState } from "@berth/shared/domain/deploy-state.ts";
import { isFinalDeploy } from "@berth/shared/domain/deploy-state.ts";
import type { DeployId, HostId, JobId, ReleaseId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { JobState } from "@berth/shared/domain/job-state.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import type { PartitionPolicy } from "@berth/shared/domain/service-policy.ts";
import type { HostSilence } from "../../services/scheduler/src/core/judge-hosts.ts";
import type { OpenMove } from "../../services/scheduler/src/core/steer-moves.ts";
import type { ReleaseView } from "../../services/scheduler/src/core/views.ts";

export interface JobRow {
  readonly id: JobId;
  readonly serviceId: ServiceId;
  readonly releaseId: ReleaseId;
  readonly deployId: DeployId;
  readonly process: string;
  readonly slot: number;
  readonly spec: JobSpec;
  readonly epoch: number;
  readonly state: JobState;
  readonly desired: "run" | "stop";
  readonly rotation: "out" | "in" | "draining";
  readonly rotationSinceMs: number;
  readonly ready: boolean;
  readonly hostId: HostId | null;
  readonly observedSequence: number;
  readonly address: string | null;
  readonly restartsCount: number;
  readonly reasonCode: string | null;
  readonly reason: string | null;
  readonly leaseExpiresAtMs: number | null;
  readonly leaving: boolean;
  readonly away: boolean;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

export interface DeployRow {
  readonly id: DeployId;
  readonly serviceId: ServiceId;
  readonly releaseId: ReleaseId;
  readonly state: DeployState;
  readonly createdAtMs: number;
  readonly stateSinceMs: number;
  readonly reasonCode: string | null;
  readonly reason: string | null;
}

export interface Release {
  readonly view: ReleaseView;
  readonly serviceId: ServiceId;
  readonly memoryBytes: number;
  readonly quality: "good" | "crashes" | "never-listens";
}

export interface PodRecord {
  readonly jobs: Map<JobId, JobRow>;
  readonly deploys: Map<DeployId, DeployRow>;
  readonly releases: Map<ReleaseId, Release>;
  readonly current: Map<ServiceId, ReleaseId>;
  readonly serving: Map<ServiceId, ReleaseId>;
  readonly scale: Map<ServiceId, number>;
  readonly cancels: Set<DeployId>;
  readonly hosts: Map<HostId, HostSilence>;
  readonly policies: Map<ServiceId, PartitionPolicy>;
  /** An ordered rebalance that is not over, and its move. */
  rebalancing: boolean;
  move: OpenMove | null;
  leader: { readonly holder: string; readonly epoch: number; readonly expiresAtMs: number } | null;
  routes: { readonly version: number; readonly jobs: ReadonlySet<JobId>; readonly settled: boolean };
}

export interface StoreWatch {
  jobChanged(before: JobRow | undefined, after: JobRow): void;
  deployChanged(before: DeployRow | undefined, after: DeployRow): void;
  broken(name: string, detail: string): void;
}

export class Store {
  #now: PodRecord = emptyRecord();
  readonly #watch: StoreWatch;
  down = false;

  constructor(watch: StoreWatch) {
    this.#watch = watch;
  }

  get now(): PodRecord {
    return this.#now;
  }

  /** A backup, or a snapshot: rows are immutable, so copies of the maps are enough. */
  copy(): PodRecord {
    const { now } = this;
    return {
      ...now,
      jobs: new Map(now.jobs),
      deploys: new Map(now.deploys),
      releases: new Map(now.releases),
      current: new Map(now.current),
      serving: new Map(now.serving),
      scale: new Map(now.scale),
      cancels: new Set(now.cancels),
      hosts: new Map(now.hosts),
      policies: new Map(now.policies),
    };
  }

  /** The database comes back from a backup. Nobody decided what changes by this. */
  restore(backup: PodRecord): void {
    this.#now = backup;
  }

  putJob(row: JobRow): void {
    const before = this.#now.jobs.get(row.id);
    if (isLive(row)) {
      for (const other of this.#now.jobs.values()) {
        if (other.id !== row.id && isLive(other) && sameSlot(other, row)) {
          this.#watch.broken(
            "one-job-per-slot",
            `${other.id} and ${row.id} would both hold ${slotName(row)}`,
          );
        }
      }
    }
    this.#now.jobs.set(row.id, row);
    this.#watch.jobChanged(before, row);
  }

  /** Whether any job may run in the slot but those that were lost and given up. */
  hasHolder(row: JobRow): boolean {
    return [...this.#now.jobs.values()].some(
      (other) =>
        other.serviceId === row.serviceId &&
        other.process === row.process &&
        other.slot === row.slot &&
        !isFinal(other.state) &&
        !(
          other.state === "lost" &&
          other.desired === "stop" &&
          this.#now.hosts.get(other.hostId as HostId)?.state === "lost"
        ),
    );
  }

  /** @returns false when the slot has a live job already: the unique index says no */
  insertJob(row: JobRow): boolean {
    for (const other of this.#now.jobs.values()) if (isLive(other) && sameSlot(other, row)) return false;
    this.putJob(row);
    return true;
  }

  putDeploy(row: DeployRow): void {
    const before = this.#now.deploys.get(row.id);
    this.#now.deploys.set(row.id, row);
    this.#watch.deployChanged(before, row);
  }
}

export function emptyRecord(): PodRecord {
  return {
    jobs: new Map(),
    deploys: new Map(),
    releases: new Map(),
    current: new Map(),
    serving: new Map(),
    scale: new Map(),
    cancels: new Set(),
    hosts: new Map(),
    policies: new Map(),
    rebalancing: false,
    move: null,
    leader: null,
    routes: { version: 0, jobs: new Set(), settled: true },
  };
}

function isLive(row: JobRow): boolean {
  return row.desired === "run" && !isFinal(row.state) && row.state !== "lost" && !row.leaving && !row.away;
}

function sameSlot(a: JobRow, b: JobRow): boolean {
  return a.releaseId === b.releaseId && a.slot === b.slot && a.process === b.process;
}

export function slotName(row: JobRow): string {
  return `${row.releaseId} ${row.process}.${row.slot}`;
}

export function isOpenDeploy(row: DeployRow): boolean {
  return !isFinalDeploy(row.state);
}
