/**
 * One simulated host: its agent's process, engine and disk. Every decision is the agent's own core; what
 * `jobs/job-set.ts` does with them over the real engine is done here over the model.
 */
import type { JobSpec, ObservedJob } from "@berth/shared/contracts/job.ts";
import type { HostId, ReleaseId } from "@berth/shared/domain/ids.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import type { HostState } from "@berth/shared/domain/placement.ts";
import { GIB, MIB } from "@berth/shared/domain/resources.ts";
import { forgetSaid, NOTHING_SAID, nextBeat } from "../../services/agent/src/core/beat-form.ts";
import {
  type AwardMemory,
  decideAward,
  rememberAnswers,
} from "../../services/agent/src/core/decide-award.ts";
import { mayRemoveUnknown, type SeenDesired } from "../../services/agent/src/core/decide-orphans.ts";
import { type DesiredSet, decideStops, newestSeen } from "../../services/agent/src/core/decide-stops.ts";
import type { JobRecord } from "../../services/agent/src/core/job-record.ts";
import * as job from "../../services/agent/src/core/job-record.ts";
import { renderBeat } from "../../services/agent/src/core/render-heartbeat.ts";
import { ContainerIndex } from "../../services/agent/src/jobs/container-index.ts";
import { Engine, EngineFault } from "./engine.ts";
import type { AwardMessage, AwardReply, SaidBeat } from "./messages.ts";
import { Endpoint } from "./network.ts";
import { Process, type Routine } from "./process.ts";
import { SimLeases } from "./sim-leases.ts";
import { SimLedger } from "./sim-ledger.ts";
import { simState } from "./sim-state.ts";
import { SimWorker } from "./sim-worker.ts";
import { LIMITS, type World } from "./world.ts";

export class SimHost {
  readonly id: HostId;
  readonly world: World;
  readonly process: Process;
  readonly endpoint: Endpoint;
  readonly engine: Engine;
  readonly ledger = new SimLedger();
  readonly memoryBytes: number;
  skewMs = 0;
  powered = true;
  bootCount = 1;
  index = new ContainerIndex();
  /** What the edge serves; it survives the agent. */
  routesVersion = 0;
  readonly leases: SimLeases;
  /** When the agent last could not act on its containers: it was down, paused, or the engine did not answer. */
  lastUnableMs = 0;
  workers = new Map<string, SimWorker>();
  #unknownSinceMs = new Map<string, number>();
  #desired: SeenDesired | null = null;
  #memory: AwardMemory = { leaderEpoch: 0, answered: new Map() };
  /** False until the ledger was read: nothing is served before. */
  #open = false;
  #startedAtMs = 0;
  #said = NOTHING_SAID;
  #awards: Routine[] = [];
  #deciding = false;
  #sweeping = new Set<string>();
  #waiting = new Map<string, ObservedJob>();
  #telling = new Set<string>();

  constructor(world: World, id: HostId, memoryBytes: number) {
    this.world = world;
    this.id = id;
    this.memoryBytes = memoryBytes;
    this.process = new Process(id, world.timeline);
    this.endpoint = new Endpoint(this.process);
    this.leases = new SimLeases(this);
    this.engine = new Engine(world, id, () => this.process);
    this.engine.onDie = ({ jobId, id: containerId }) => {
      this.index.setState(jobId, containerId, "exited");
      this.workers.get(jobId)?.wakeable.wake();
    };
  }

  get bootId(): string {
    return `boot-${this.bootCount}`;
  }

  clockMs(): number {
    return this.world.timeline.nowMs + this.skewMs;
  }

  note(about: string, text: () => string): void {
    this.world.trace(about, () => `${this.id}: ${text()}`);
  }

  /** The agent's start is its recovery: ledger, then containers, then the bus. */
  start(): void {
    const { world, process, ledger } = this;
    process.start();
    this.ableAgain();
    this.index = new ContainerIndex();
    this.workers = new Map();
    this.#unknownSinceMs = new Map();
    this.#desired = null;
    this.#awards = [];
    this.#deciding = false;
    this.#sweeping = new Set();
    this.#waiting = new Map();
    this.#telling = new Set();
    this.#startedAtMs = this.clockMs();
    this.#said = NOTHING_SAID;
    this.leases.agentStarts();
    this.#memory = { leaderEpoch: ledger.leaderEpoch, answered: new Map() };
    this.#open = false;
    world.invariants.agentRecovered(this);
    process.spawn(this.#recover());
  }

  *#recover(): Routine {
    for (let done = false; !done; ) {
      try {
        const list = yield* this.engine.call(() => this.engine.list());
        this.index.takeList(this.index.beginList(), list);
        done = true;
      } catch (error) {
        if (!(error instanceof EngineFault)) throw error;
        yield 1000;
      }
    }
    for (const stored of this.ledger.records.values()) {
      const record = job.recovered(stored);
      this.process.spawn(this.ledger.save(record));
      this.#startWorker(record, false);
    }
    this.#open = true;
    this.process.every(500, () => this.leases.look());
    this.process.every(LIMITS.heartbeatMs, () => this.beat());
    this.process.every(5000, () => this.process.spawn(this.#look()));
    this.beat();
  }

  #startWorker(record: JobRecord, secretsWritten: boolean): void {
    this.workers.set(record.spec.jobId, new SimWorker(this, record, secretsWritten));
  }

  powerCut(): void {
    this.powered = false;
    this.process.crash();
    this.engine.powerCut();
    this.leases.powerCut();
  }

  powerOn(): void {
    this.powered = true;
    this.bootCount += 1;
    this.start();
  }

  state(): HostState {
    return simState(this);
  }

  records(): JobRecord[] {
    return [...this.workers.values()].map(({ record }) => record);
  }

  /** Awards are decided one after another. */
  award(message: AwardMessage, reply: (answer: AwardReply) => void): void {
    if (!this.#open) return;
    this.#awards.push(this.#decide(message, reply));
    if (!this.#deciding) this.#nextAward();
  }

  #nextAward(): void {
    const next = this.#awards.shift();
    this.#deciding = next !== undefined;
    if (next !== undefined) this.process.spawn(next, () => this.#nextAward());
  }

  *#decide(message: AwardMessage, reply: (answer: AwardReply) => void): Routine {
    const { world } = this;
    const held = new Map(
      this.records().map((record) => [record.spec.jobId as string, this.#asHeld(record, message)]),
    );
    const nowMs = this.clockMs();
    const { answers } = decideAward(
      this.#asTimely(message),
      this.#remembered(),
      held,
      this.#freshState(),
      nowMs,
    );
    const before = this.#memory.leaderEpoch;
    this.#memory = rememberAnswers(this.#memory, message, nowMs);
    if (this.#memory.leaderEpoch > before) yield* this.ledger.saveLeaderEpoch(this.#memory.leaderEpoch);
    let stored = true;
    for (const { spec, isNew, refusal } of answers) {
      this.note(spec.jobId, () => `award e${spec.epoch}: ${refusal === null ? "accepted" : refusal.detail}`);
      if (isNew) stored = (yield* this.#accept(spec, message)) && stored;
    }
    // A write that failed is an error of the request: the scheduler hears no answer.
    if (!stored) return;
    for (const { spec, refusal } of answers)
      if (refusal === null) world.invariants.acceptAnswered(this, spec);
    reply({
      answers: answers.map(({ spec, refusal }) => ({ jobId: spec.jobId, epoch: spec.epoch, refusal })),
      state: this.state(),
    });
  }

  /** With the guard off what the agent holds is never newer than the award. */
  #asHeld(record: JobRecord, message: AwardMessage): JobRecord {
    const awarded = message.jobs.find(({ jobId }) => jobId === record.spec.jobId);
    const newer = awarded !== undefined && record.spec.epoch > awarded.epoch;
    if (!newer || this.world.on("agent-epoch")) return record;
    return { ...record, spec: { ...record.spec, epoch: 0 } };
  }

  #asTimely(message: AwardMessage): AwardMessage {
    const leaseExpiresAtMs = this.world.on("award-lease-at-agent")
      ? message.leaseExpiresAtMs
      : Number.POSITIVE_INFINITY;
    return { ...message, leaseExpiresAtMs };
  }

  #remembered(): AwardMemory {
    return this.world.on("agent-epoch") ? this.#memory : { ...this.#memory, answered: new Map() };
  }

  #freshState(): HostState {
    const state = this.state();
    return this.world.on("capacity-recheck") ? state : { ...state, memoryFreeBytes: 1024 * GIB };
  }

  *#accept(spec: JobSpec, message: AwardMessage): Routine<boolean> {
    const older = this.workers.get(spec.jobId);
    if (older !== undefined) {
      older.close();
      if (!older.ended) yield { ms: 500, on: older.whenEnded };
    }
    const record = job.newRecord(spec, this.clockMs(), this.bootId);
    if (this.world.on("ledger-before-answer")) {
      if (!(yield* this.ledger.save(record))) return false;
    } else {
      this.process.spawn(this.ledger.save(record));
    }
    this.leases.awarded(record);
    this.#startWorker(record, false);
    this.world.invariants.accepted(this, spec, message.leaseExpiresAtMs);
    return true;
  }

  deliver(jobId: string, epoch: number): void {
    const worker = this.workers.get(jobId);
    if (worker === undefined || worker.record.spec.epoch !== epoch || worker.record.envelope !== null) return;
    worker.apply(job.envelopeTaken(worker.record, { senderKey: "k", sealed: "s" }, this.clockMs()));
    worker.wakeable.wake();
  }

  desire(set: DesiredSet): void {
    const { world } = this;
    const nowMs = this.clockMs();
    if (!this.#open) return;
    const seen = newestSeen(this.#desired?.set ?? null, this.#memory.leaderEpoch);
    const given = world.on("whole-set") ? set : { ...set, whole: true };
    const records = world.on("fresh-accept-grace")
      ? this.records()
      : this.records().map((record) => ({ ...record, acceptedAtMs: 0 }));
    const decision = decideStops(given, seen, records, nowMs);
    if (decision.kind === "decided" || decision.reason === "not-whole") this.leases.renew(set);
    if (decision.kind === "ignored") return;
    this.#desired = { set, atMs: nowMs };
    for (const jobId of decision.stop) {
      const worker = this.workers.get(jobId);
      if (worker === undefined || worker.record.stopWanted) continue;
      this.note(jobId, () => `stop asked by set ${set.leaderEpoch}.${set.revision}`);
      world.invariants.stopDecided(this, worker.record);
      worker.apply(job.stopAsked(worker.record));
      worker.wakeable.wake();
    }
  }

  /** It runs again, and its engine answers, as far as this trouble goes. */
  ableAgain(): void {
    this.lastUnableMs = this.world.timeline.nowMs;
  }

  /** Whether the agent could have stopped what it runs during the last `ms`. */
  wasAbleFor(ms: number): boolean {
    if (!this.process.runs || this.engine.hangs) return false;
    return this.world.timeline.nowMs - this.lastUnableMs >= ms;
  }

  *#look(): Routine {
    const began = this.index.beginList();
    try {
      const list = yield* this.engine.call(() => this.engine.list());
      for (const jobId of this.index.takeList(began, list)) this.workers.get(jobId)?.wakeable.wake();
      yield* this.#removeUnknown();
    } catch (error) {
      if (!(error instanceof EngineFault)) throw error;
    }
  }

  *#removeUnknown(): Routine {
    const nowMs = this.clockMs();
    const unknown = this.index.jobs().filter((jobId) => !this.workers.has(jobId));
    for (const jobId of this.#unknownSinceMs.keys())
      if (!unknown.includes(jobId)) this.#unknownSinceMs.delete(jobId);
    for (const jobId of unknown) {
      const sinceMs = this.#unknownSinceMs.get(jobId) ?? nowMs;
      this.#unknownSinceMs.set(jobId, sinceMs);
      const may = this.world.on("orphan-grace")
        ? mayRemoveUnknown(jobId, sinceMs, this.#desired, nowMs)
        : true;
      if (!may) continue;
      for (const { id } of this.index.of(jobId)) {
        this.world.invariants.orphanRemoved(this, jobId);
        yield* this.engine.call(() => this.engine.remove(id));
        this.index.drop(jobId, id);
      }
    }
  }

  sweepLater(jobId: string, id: string): void {
    if (this.#sweeping.has(id)) return;
    this.#sweeping.add(id);
    this.process.after(1000, () => {
      this.#sweeping.delete(id);
      this.engine.remove(id);
      this.index.drop(jobId, id);
    });
  }

  forgotten(worker: SimWorker): void {
    if (this.workers.get(worker.jobId) === worker) this.workers.delete(worker.jobId);
    this.#waiting.delete(worker.jobId);
    this.world.invariants.forgotten(this, worker.record);
  }

  qualityOf(releaseId: ReleaseId) {
    return this.world.invariants.qualityOf(releaseId);
  }

  beat(): void {
    const records = this.records();
    const [state, unknown] = [this.state(), this.index.unknown((jobId) => this.workers.has(jobId))];
    const held = records.map(({ spec, sequence }) => ({ jobId: spec.jobId, epoch: spec.epoch, sequence }));
    const rest = { unknown, routesVersion: this.routesVersion };
    const { memory, form } = nextBeat(this.#said, { state, held, rest });
    this.#said = memory;
    const head = {
      hostId: this.id,
      atMs: this.clockMs(),
      bootId: this.bootId,
      monotonicMs: this.world.timeline.nowMs,
      agentStartedAtMs: this.#startedAtMs,
      revision: memory.revision,
    };
    const beat: SaidBeat = renderBeat(form, head, { records, rest: { state, ...rest } });
    for (const scheduler of this.world.schedulers)
      this.world.network.send(this.endpoint, scheduler.endpoint, () => scheduler.heard(beat));
    this.world.network.send(this.endpoint, this.world.plane.endpoint, () => this.world.plane.heard(beat));
  }

  /** Somebody does not know what the beats repeat. */
  beatInFull(): void {
    this.#said = forgetSaid(this.#said);
    this.beat();
  }

  /** The newest observation of a job, told until the bus took it. */
  report(record: JobRecord): void {
    const { jobId } = record.spec;
    this.#waiting.set(jobId, job.toObserved(record));
    if (this.#telling.has(jobId)) return;
    this.#telling.add(jobId);
    this.process.spawn(this.#tell(jobId), () => this.#telling.delete(jobId));
  }

  *#tell(jobId: string): Routine {
    const { rng, weather } = this.world;
    let pauseMs = 100;
    for (let seen = this.#waiting.get(jobId); seen !== undefined; seen = this.#waiting.get(jobId)) {
      yield rng.between(1, 4);
      const cut = this.endpoint.outCut || (weather.loss > 0 && rng.chance(weather.loss));
      if (!cut) this.world.plane.observed(this, seen);
      if (cut || this.endpoint.inCut) {
        yield pauseMs;
        pauseMs = Math.min(5000, pauseMs * 2);
        continue;
      }
      if (this.#waiting.get(jobId) === seen) this.#waiting.delete(jobId);
      pauseMs = 100;
      const worker = this.workers.get(jobId);
      if (worker?.record.spec.epoch !== seen.epoch) continue;
      worker.record = job.acknowledged(worker.record, seen.sequence);
      if (isFinal(worker.record.state)) worker.wakeable.wake();
    }
  }
}

export const JOB_MEMORY_BYTES = 256 * MIB;
