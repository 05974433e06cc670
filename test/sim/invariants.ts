/**
 * What must hold after every step. The simulated parts tell what they do; the checks look at the ground truth, which
 * no part of the pod can see. The first breach ends the run.
 */
import type { JobSpec, ObservedJob } from "@berth/shared/contracts/job.ts";
import { isFinalDeploy } from "@berth/shared/domain/deploy-state.ts";
import type { HostId, JobId, ReleaseId } from "@berth/shared/domain/ids.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import { holdsResources, type JobRecord } from "../../services/agent/src/core/job-record.ts";
import type { Container } from "./engine.ts";
import type { SimHost } from "./sim-host.ts";
import type { DeployRow, JobRow, Release, StoreWatch } from "./store.ts";
import { LIMITS, type World } from "./world.ts";

/** Each with what it means. */
export const INVARIANTS = {
  "one-container-per-job": "no two containers of one job run at the same time",
  "single-writer": "never two running instances in a single writer's slot, while their agents could act",
  "no-lower-epoch": "a host never runs a lower epoch of a job than one it ran or held",
  "memory-not-overcommitted": "the jobs that a host accepted fit its memory",
  "single-award": "one epoch of a job is accepted by one host only",
  "no-accept-after-release": "a host never accepts what the record has taken back",
  "no-reaward-while-held": "an unanswered award goes back to the auction only when its host does not hold it",
  "no-end-while-held": "a job is not called over because of a list that is older than the job on its host",
  "stops-only-what-the-record-released": "an agent stops only jobs that the record gave up",
  "one-job-per-slot": "no two wanted jobs of one slot of a release",
  "stale-leader-changes-nothing": "who does not hold the lease commits nothing",
  "no-eviction-in-mass-silence": "no host is declared lost while more than half are silent, or right after",
  "no-older-fact": "an observation never replaces a newer one",
  "deploy-ends-once": "a deploy that is over never changes again",
  "accepted-survives": "an accepted award is in the ledger after a crash",
  "serving-holds": "one host's loss never leaves a service below desired − 1 for longer than the promise",
  converges: "after the faults stopped, exactly the desired set runs within the bound",
} as const;

/** What an agent needs to stop a container, engine's faults and their back-off included. */
const ABLE_MS = 15_000;
/** What was decided longer ago than this before a start was not decided before a pause. */
const DECIDED_MS = 2000;

export type InvariantName = keyof typeof INVARIANTS;

export class Violation extends Error {
  override name = "Violation";
  readonly invariant: InvariantName;
  /** Ids that the trace is filtered by. */
  readonly about: readonly string[];

  constructor(invariant: InvariantName, detail: string, about: readonly string[]) {
    super(`${invariant}: ${detail}`);
    this.invariant = invariant;
    this.about = about;
  }
}

export class Invariants implements StoreWatch {
  readonly #world: () => World;
  readonly #releases = new Map<ReleaseId, Release>();
  readonly #acceptedBy = new Map<string, HostId>();
  readonly #highestEpoch = new Map<string, number>();
  /** Highest epoch of a job that the record gave up; the job as a whole is Infinity. */
  readonly #released = new Map<string, number>();
  readonly #answered = new Map<HostId, Map<string, number>>();
  #massSilence = { scheduler: "", atMs: Number.NEGATIVE_INFINITY };
  /** Since the database came back from a backup, epochs may be given twice: only what stops is judged. */
  restored = false;

  constructor(world: () => World) {
    this.#world = world;
  }

  #breach(name: InvariantName, detail: string, ...about: string[]): never {
    throw new Violation(name, detail, about);
  }

  broken(name: string, detail: string): void {
    if (!this.restored) this.#breach(name as InvariantName, detail, ...(detail.match(/job_\d+/g) ?? []));
  }

  addRelease(release: Release): void {
    this.#releases.set(release.view.id, release);
  }

  qualityOf(id: ReleaseId): Release["quality"] {
    return this.#releases.get(id)?.quality ?? "good";
  }

  containerStarted(hostName: string, started: Container): void {
    const { jobId, epoch } = started;
    for (const host of this.#world().hosts) {
      for (const other of host.engine.containers.values()) {
        if (other === started || other.jobId !== jobId || other.state !== "running" || this.restored)
          continue;
        this.#breach(
          "one-container-per-job",
          `${other.id} on ${host.id} and ${started.id} on ${hostName}`,
          jobId,
        );
      }
    }
    this.#onlyWriter(hostName, started);
    this.#noteEpoch(hostName, jobId, epoch);
  }

  /** An agent that is down, paused or not answered by its engine cannot stop what runs; nor can one that forgot it. */
  #onlyWriter(hostName: string, started: Container): void {
    if (!started.slot.singleWriter || this.restored) return;
    const { hosts } = this.#world();
    if (hosts.find(({ id }) => id === hostName)?.wasAbleFor(DECIDED_MS) !== true) return;
    for (const host of hosts) {
      for (const other of host.engine.containers.values()) {
        const same = other.slot.singleWriter && other.slot.key === started.slot.key;
        if (other === started || !same || other.state !== "running" || !host.wasAbleFor(ABLE_MS)) continue;
        if (other.orphaned === "silent") continue;
        this.#breach(
          "single-writer",
          `${started.slot.key}: ${other.id} on ${host.id} and ${started.id} on ${hostName}`,
          started.jobId,
          other.jobId,
        );
      }
    }
  }

  #noteEpoch(hostName: string, jobId: string, epoch: number): void {
    const key = `${hostName} ${jobId}`;
    const highest = this.#highestEpoch.get(key) ?? 0;
    if (epoch < highest && !this.restored)
      this.#breach("no-lower-epoch", `${jobId} e${epoch} after e${highest} on ${hostName}`, jobId);
    this.#highestEpoch.set(key, Math.max(epoch, highest));
  }

  accepted(host: SimHost, spec: JobSpec, leaseExpiresAtMs: number): void {
    const { jobId, epoch } = spec;
    const held = host.records().filter(holdsResources);
    const memory = held.reduce((sum, record) => sum + record.spec.resources.memoryBytes, 0);
    if (memory > host.memoryBytes)
      this.#breach(
        "memory-not-overcommitted",
        `${host.id} promised ${memory} of ${host.memoryBytes} B`,
        host.id,
        ...held.map((one) => one.spec.jobId),
      );
    this.#noteEpoch(host.id, jobId, epoch);
    if (this.restored) return;
    const key = `${jobId} e${epoch}`;
    const before = this.#acceptedBy.get(key);
    if (before !== undefined && before !== host.id)
      this.#breach("single-award", `${key} is held by ${before} and ${host.id}`, jobId);
    this.#acceptedBy.set(key, host.id);
    const row = this.#world().store.now.jobs.get(jobId as JobId);
    const released = row === undefined || row.epoch !== epoch || row.state === "requested";
    if (released && leaseExpiresAtMs > 0)
      this.#breach(
        "no-accept-after-release",
        `${host.id} accepts ${key}, the record is at e${row?.epoch}`,
        jobId,
      );
  }

  acceptAnswered(host: SimHost, spec: JobSpec): void {
    const answered = this.#answered.get(host.id) ?? new Map<string, number>();
    if (host.ledger.records.get(spec.jobId)?.spec.epoch !== spec.epoch)
      this.#breach(
        "accepted-survives",
        `${host.id} says it accepts ${spec.jobId}, which is not on disk`,
        spec.jobId,
      );
    answered.set(spec.jobId, spec.epoch);
    this.#answered.set(host.id, answered);
  }

  forgotten(host: SimHost, record: JobRecord): void {
    this.#answered.get(host.id)?.delete(record.spec.jobId);
  }

  agentRecovered(host: SimHost): void {
    for (const [jobId, epoch] of this.#answered.get(host.id) ?? []) {
      const stored = host.ledger.records.get(jobId);
      if (stored === undefined || stored.spec.epoch < epoch)
        this.#breach("accepted-survives", `${host.id} forgot ${jobId} e${epoch} that it had accepted`, jobId);
    }
  }

  stopDecided(host: SimHost, record: JobRecord): void {
    const { jobId, epoch } = record.spec;
    // A record that came back older gave the job to another host: one of the two may go.
    const row = this.#world().store.now.jobs.get(jobId);
    if (this.restored && row?.hostId !== host.id && (row?.epoch ?? 0) >= epoch && row?.ready === true) return;
    if (!isFinal(record.state) && (this.#released.get(jobId) ?? -1) < epoch)
      this.#breach("stops-only-what-the-record-released", `${host.id} stops ${jobId} e${epoch}`, jobId);
  }

  orphanRemoved(host: SimHost, jobId: string): void {
    if ((this.#released.get(jobId) ?? -1) < (this.#highestEpoch.get(`${host.id} ${jobId}`) ?? 0))
      this.#breach("stops-only-what-the-record-released", `${host.id} removes unknown ${jobId}`, jobId);
  }

  /** A ledger file was damaged on purpose: its job may be forgotten. */
  ledgerDamaged(host: SimHost, jobId: string): void {
    const seen = this.#world().store.now.hosts.get(host.id)?.state;
    const cutOff = host.endpoint.inCut || host.endpoint.outCut || seen !== "alive";
    for (const one of host.engine.containers.values())
      if (one.jobId === jobId) one.orphaned = cutOff ? "silent" : "listed";
    this.#answered.get(host.id)?.delete(jobId);
  }

  leaderCommits(by: { readonly name: string; readonly epoch: number | null }, may: boolean): void {
    if (!may)
      this.#breach("stale-leader-changes-nothing", `${by.name} commits under epoch ${by.epoch}`, by.name);
  }

  /** A scheduler is about to judge the hosts: a mass silence that it sees now it must remember, until it restarts. */
  judged(scheduler: string, hearingSinceMs: number): void {
    const { nowMs } = this.#world().timeline;
    const { silent, counted } = this.#silence(hearingSinceMs);
    if (silent.length * 2 > counted.length) this.#massSilence = { scheduler, atMs: nowMs };
    else if (this.#massSilence.scheduler !== scheduler || this.#massSilence.atMs < hearingSinceMs)
      this.#massSilence = { scheduler, atMs: Number.NEGATIVE_INFINITY };
  }

  hostDeclaredLost(hostId: HostId, scheduler: string): void {
    const containers =
      this.#world()
        .hosts.find(({ id }) => id === hostId)
        ?.engine.containers.values() ?? [];
    for (const one of containers) if (one.orphaned !== undefined) one.orphaned = "silent";
    const { silent, counted } = this.#silence();
    const { nowMs } = this.#world().timeline;
    const last =
      this.#massSilence.scheduler === scheduler ? this.#massSilence.atMs : Number.NEGATIVE_INFINITY;
    if (silent.length * 2 > counted.length || nowMs - last < LIMITS.lostAfterMs)
      this.#breach(
        "no-eviction-in-mass-silence",
        `${hostId} is declared lost while ${silent.length} of ${counted.length} are silent, ${nowMs - last} ms after a mass silence`,
        hostId,
      );
  }

  #silence(hearingSinceMs = 0) {
    const { store, timeline } = this.#world();
    const counted = [...store.now.hosts.values()].filter(({ state }) => state !== "lost");
    const silentMs = (atMs: number): number => timeline.nowMs - Math.max(atMs, hearingSinceMs);
    const silent = counted.filter((one) => silentMs(one.lastHeartbeatAtMs) >= LIMITS.suspectAfterMs);
    return { silent, counted };
  }

  observationTaken(row: JobRow, seen: ObservedJob, listed: boolean): void {
    const found = listed && row.state === "lost" && seen.sequence === row.observedSequence;
    if (seen.epoch < row.epoch || (seen.sequence <= row.observedSequence && !found))
      this.#breach("no-older-fact", `${row.id}: ${seen.sequence} after ${row.observedSequence}`, row.id);
  }

  jobChanged(before: JobRow | undefined, after: JobRow): void {
    if (before === undefined) return;
    if (after.desired === "stop" || isFinal(after.state))
      this.#released.set(after.id, Number.POSITIVE_INFINITY);
    else if (after.state === "requested" && before.epoch > (this.#released.get(after.id) ?? -1))
      this.#released.set(after.id, before.epoch);
    if (this.restored || before.state !== "awarded" || after.state !== "requested") return;
    if (this.#holds(before))
      this.#breach("no-reaward-while-held", `${before.hostId} holds ${before.id}`, before.id);
  }

  /** The record is about to call a job over because its host did not name it. */
  endedByAbsence(row: JobRow): void {
    if (!this.restored && this.#holds(row))
      this.#breach("no-end-while-held", `${row.hostId} holds ${row.id} e${row.epoch}`, row.id);
  }

  #holds(row: JobRow): boolean {
    const host = this.#world().hosts.find(({ id }) => id === row.hostId);
    const record =
      host?.process.up === true ? host.workers.get(row.id)?.record : host?.ledger.records.get(row.id);
    return record !== undefined && record.spec.epoch === row.epoch && !isFinal(record.state);
  }

  deployChanged(before: DeployRow | undefined, after: DeployRow): void {
    if (before !== undefined && isFinalDeploy(before.state) && before.state !== after.state)
      this.#breach(
        "deploy-ends-once",
        `${after.id} was ${before.state} and becomes ${after.state}`,
        after.id,
      );
  }
}
