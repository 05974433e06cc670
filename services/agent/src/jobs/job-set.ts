/**
 * All jobs of this host: awards in, desired sets in, one worker per job.
 *
 * What must stay true: awards are decided one after another, on fresh capacity; an accepted job is on disk before
 * the answer leaves; nothing is stopped but by a fresh whole desired set, a higher epoch of the same job or the end of its lease.
 */

import type { JobSpec, ObservedJob } from "@berth/shared/contracts/job.ts";
import type { HostState } from "@berth/shared/domain/placement.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import {
  type Award,
  type AwardAnswer,
  type AwardMemory,
  decideAward,
  rememberAnswers,
} from "../core/decide-award.ts";
import { mayRemoveUnknown, type SeenDesired } from "../core/decide-orphans.ts";
import { type DesiredSet, decideStops, newestSeen } from "../core/decide-stops.ts";
import { refuseWake } from "../core/decide-wake.ts";
import { type JobRecord, newRecord, recovered, type SealedEnvelope } from "../core/job-record.ts";
import type { Pins } from "../core/plan-garbage.ts";
import { awoke, displaced, ordersOf } from "../core/sleep-record.ts";
import { countContainerAddresses } from "../network/core/container-cable.ts";
import type { EngineEvent } from "../outbound/engine-stream.ts";
import type { JobsGiven } from "./given.ts";
import { JobWorker } from "./job-worker.ts";
import { openEnvelope } from "./open-envelope.ts";

/** Looks come every 5 s. Where many sleep, those that exited are listed each minute, and the more there are the less often. */
const WHOLE_LOOK_EVERY = 12;
const EXITED_PER_LOOK = 3;
const MANY_EXITED = 20;

export class JobSet {
  readonly #given: JobsGiven;
  readonly #workers = new Map<string, JobWorker>();
  readonly #unknownSinceMs = new Map<string, number>();
  #memory: AwardMemory = { leaderEpoch: 0, answered: new Map() };
  #desired: SeenDesired | null = null;
  #pins: Pins | null = null;
  #nextPlace = 0;
  /** True while no list has ended well since the last one failed. */
  #blind = false;
  #looks = 0;
  readonly #removing = new Set<string>();
  #lock: Promise<unknown> = Promise.resolve();

  constructor(given: Omit<JobsGiven, "forgotten" | "admit">) {
    const admit = (worker: JobWorker) => this.#exclusively(async () => this.#admit(worker));
    this.#given = { ...given, admit, forgotten: (jobId) => this.#workers.delete(jobId) };
  }

  #admit(worker: JobWorker): void {
    const { hostState, log, bootId, clock } = this.#given;
    const { record } = worker;
    const refusal = refuseWake(record, hostState(this.records()));
    if (refusal === null) {
      worker.apply(awoke(record, bootId, clock.nowMs()));
      return;
    }
    log.warn("job.displaced", { jobId: worker.jobId, ...refusal });
    worker.apply(displaced(record, `its host has no room to wake it: ${refusal.detail}`));
  }

  /** Starts a worker for every job of the ledger. The index must have been refreshed once before. */
  recover(records: readonly JobRecord[], leaderEpoch: number, withSecrets: ReadonlySet<string>): void {
    this.#memory = { leaderEpoch, answered: new Map() };
    for (const stored of records) {
      const record = recovered(stored);
      this.#keep(record);
      this.#start(record, withSecrets.has(record.spec.jobId));
    }
  }

  #keep(record: JobRecord): void {
    this.#given.ledger.save(record).catch((error: unknown) =>
      this.#given.log.error("ledger.write-failed", {
        jobId: record.spec.jobId,
        error: describeError(error),
      }),
    );
  }

  #start(record: JobRecord, secretsWritten: boolean): void {
    this.#workers.set(
      record.spec.jobId,
      new JobWorker(this.#given, record, secretsWritten, this.#nextPlace++),
    );
  }

  records(): JobRecord[] {
    return [...this.#workers.values()].map(({ record }) => record);
  }

  /** Ids of the pod's containers that run here. */
  running(): ReadonlySet<string> {
    return this.#given.index.running();
  }

  /** Jobs whose containers are here although the ledger does not know them. */
  unknown(): { readonly jobId: string; readonly epoch: number }[] {
    return this.#given.index.unknown((jobId) => this.#workers.has(jobId));
  }

  /** @param fresh reads the host's state at the moment of the decision */
  async award(award: Award, fresh: () => HostState): Promise<readonly AwardAnswer[]> {
    return this.#exclusively(async () => {
      const held = new Map(this.records().map((record) => [record.spec.jobId as string, record]));
      const nowMs = this.#given.clock.nowMs();
      const { answers } = decideAward(award, this.#memory, held, fresh(), nowMs, (environmentId) => {
        const place = this.#given.networks.desiredOf(environmentId);
        return place === undefined ? null : countContainerAddresses(place);
      });
      const before = this.#memory.leaderEpoch;
      this.#memory = rememberAnswers(this.#memory, award, nowMs);
      if (this.#memory.leaderEpoch > before)
        await this.#given.ledger.saveLeaderEpoch(this.#memory.leaderEpoch);
      const accepted = answers.filter(({ isNew }) => isNew).map(({ spec }) => spec);
      await Promise.all(accepted.map((spec) => this.#accept(spec)));
      return answers;
    });
  }

  async #accept(spec: JobSpec): Promise<void> {
    const { clock, bootId, ledger } = this.#given;
    const older = this.#workers.get(spec.jobId);
    if (older !== undefined) {
      // From here on the older worker writes nothing; its container is stopped by the new one.
      older.close();
      await Promise.race([older.done, sleep(500)]);
    }
    const record = newRecord(spec, clock.nowMs(), bootId);
    crashPoint("agent.award-before-ledger");
    await ledger.save(record);
    crashPoint("agent.award-after-ledger");
    this.#given.leases.awarded(record);
    this.#start(record, false);
    // Beside the image's pull; the job's own step waits for it, and tells what went wrong.
    this.#given.networks.ensure(spec.environmentId).catch((error: unknown) =>
      this.#given.log.warn("network.not-ready", {
        environmentId: spec.environmentId,
        error: describeError(error),
      }),
    );
  }

  /** @returns whether the job holds it now; the ledger has it before the answer */
  async deliver(
    jobId: string,
    epoch: number,
    envelope: SealedEnvelope,
  ): Promise<"taken" | "unknown-job" | "unreadable"> {
    const worker = this.#workers.get(jobId);
    if (worker === undefined || worker.record.spec.epoch !== epoch) return "unknown-job";
    const { curve, hostId, log } = this.#given;
    const opened = openEnvelope(curve, envelope, { hostId, jobId, epoch });
    if (opened === null) {
      log.error("envelope.refused", { jobId, epoch, senderKey: envelope.senderKey });
      return "unreadable";
    }
    await worker.takeEnvelope(envelope, opened);
    crashPoint("agent.envelope-stored");
    return "taken";
  }

  desire(set: DesiredSet): void {
    const nowMs = this.#given.clock.nowMs();
    const seen = newestSeen(this.#desired?.set ?? null, this.#memory.leaderEpoch);
    const decision = decideStops(set, seen, this.records(), nowMs);
    // A set that is not whole ends nothing, but what it names is the scheduler's word.
    if (decision.kind === "decided" || decision.reason === "not-whole") {
      this.#given.leases.renew(set, this.records());
      this.lookAtLeases();
    }
    if (decision.kind === "ignored") {
      this.#given.log.warn("desired.ignored", {
        reason: decision.reason,
        leaderEpoch: set.leaderEpoch,
        revision: set.revision,
      });
      return;
    }
    this.#desired = { set, atMs: nowMs };
    if (set.pinnedImages !== undefined) this.#pins = { digests: new Set(set.pinnedImages), atMs: nowMs };
    for (const jobId of decision.stop) {
      this.#given.log.info("job.stop-asked", { jobId, revision: set.revision });
      this.#workers.get(jobId)?.askStop();
    }
    for (const word of ordersOf(set, this.records())) this.#workers.get(word.jobId)?.orderSleep(word);
  }

  /**
   * Ends a sleep by this host's own word, also without the control plane.
   *
   * @returns true when the host holds instances of the service that it may wake: never a single writer's
   */
  wakeService(serviceId: string, sleepEpoch: number): boolean {
    const own = [...this.#workers.values()].filter(
      ({ record: { spec } }) => spec.serviceId === serviceId && !spec.partition.singleWriter,
    );
    return own.map((worker) => worker.wakeFrom(sleepEpoch)).includes(true);
  }

  /** @returns true when the host holds the job: its sleep of `sleepEpoch` is over */
  wakeJob({ jobId, epoch, sleepEpoch }: { jobId: string; epoch: number; sleepEpoch: number }): boolean {
    const worker = this.#workers.get(jobId);
    if (worker === undefined || worker.record.spec.epoch !== epoch || !worker.wakeFrom(sleepEpoch))
      return false;
    // When it was laid down in the record, it became not ready there, whatever it did here.
    worker.tellAgain();
    return true;
  }

  /** Images that a whole desired set told this host to keep; null until one did. */
  pins(): Pins | null {
    return this.#pins;
  }

  /** Wakes the jobs whose lease began or ended. */
  lookAtLeases(): void {
    for (const jobId of this.#given.leases.changed(this.records())) this.#workers.get(jobId)?.wake();
  }

  noteAcknowledged(seen: ObservedJob): void {
    const worker = this.#workers.get(seen.jobId);
    if (worker?.record.spec.epoch === seen.epoch) worker.noteAcknowledged(seen.sequence);
  }

  noteEvent(event: EngineEvent): void {
    const worker = this.#workers.get(event.jobId);
    if (worker === undefined) return;
    if (event.action === "oom") worker.memory.engineSaysKilled(event.containerId, this.#given.clock.nowMs());
    if (event.action !== "die" && event.action !== "destroy") return;
    if (event.action === "die") this.#given.index.setState(event.jobId, event.containerId, "exited");
    else this.#given.index.drop(event.jobId, event.containerId);
    worker.wake();
  }

  /**
   * Lists the containers, wakes the jobs whose containers changed, and removes what nobody knows. Where many sleep, those
   * that exited are listed rarely, and when another one is not as it should be; the engine's events tell of them at once.
   *
   * @returns how many jobs had changed without anybody saying so
   */
  async look(): Promise<number> {
    const { index, engine } = this.#given;
    const wasBlind = this.#blind;
    this.#blind = true;
    this.#looks += 1;
    const wholeEvery = Math.max(WHOLE_LOOK_EVERY, Math.ceil(index.exitedCount / EXITED_PER_LOOK));
    const isShort = !wasBlind && this.#looks % wholeEvery !== 0 && index.exitedCount >= MANY_EXITED;
    const changed = isShort && (await this.#isAsThought()) ? [] : await index.refresh(() => engine.list());
    this.#blind = false;
    // An engine that answers again: nobody waits out the pause of a step that failed meanwhile.
    for (const jobId of wasBlind ? this.#workers.keys() : changed) this.#workers.get(jobId)?.wake();
    this.#removeUnknown();
    return changed.filter((jobId) => this.#workers.has(jobId)).length;
  }

  async #isAsThought(): Promise<boolean> {
    const { index, engine } = this.#given;
    const began = index.beginList();
    return index.matches(began, await engine.list("not-exited"));
  }

  #removeUnknown(): void {
    const { index, clock } = this.#given;
    const nowMs = clock.nowMs();
    const unknown = index.jobs().filter((jobId) => !this.#workers.has(jobId));
    for (const jobId of this.#unknownSinceMs.keys())
      if (!unknown.includes(jobId)) this.#unknownSinceMs.delete(jobId);
    for (const jobId of unknown) {
      const sinceMs = this.#unknownSinceMs.get(jobId) ?? nowMs;
      this.#unknownSinceMs.set(jobId, sinceMs);
      if (this.#removing.has(jobId) || !mayRemoveUnknown(jobId, sinceMs, this.#desired, nowMs)) continue;
      this.#removing.add(jobId);
      // Behind the look's back: one container that cannot be stopped must not keep the others from being seen.
      void this.#removeContainersOf(jobId).finally(() => this.#removing.delete(jobId));
    }
  }

  async #removeContainersOf(jobId: string): Promise<void> {
    const { index, engine, log, secrets } = this.#given;
    try {
      for (const { id } of index.of(jobId)) {
        if (this.#workers.has(jobId)) return;
        log.warn("container.unknown-removed", { jobId, containerId: id });
        await engine.stop(id, 5000);
        await engine.remove(id);
        index.drop(jobId, id);
      }
      if (!this.#workers.has(jobId)) await secrets.wipe(jobId);
    } catch (error) {
      log.warn("container.unknown-stays", { jobId, error: describeError(error) });
    }
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#lock.then(work);
    this.#lock = result.catch(() => {});
    return result;
  }

  async close(): Promise<void> {
    for (const worker of this.#workers.values()) worker.close();
    const all = Promise.allSettled([...this.#workers.values()].map(({ done }) => done));
    await Promise.race([all, new Promise((resolve) => setTimeout(resolve, 3000).unref())]);
    await this.#given.ledger.settled();
  }
}
