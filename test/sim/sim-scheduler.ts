/**
 * One simulated scheduler: rounds of the real planner and judgements, and beside them of the real auction, over the model
 * record. Between any two calls to the record it may be paused or killed, as the real one may.
 */
import type { ObservedJob } from "@berth/shared/contracts/job.ts";
import type { HostId, JobId } from "@berth/shared/domain/ids.ts";
import { LastWords } from "@berth/shared/domain/last-words.ts";
import type { HostState, Refusal } from "@berth/shared/domain/placement.ts";
import { DEFAULT_WEIGHTS } from "@berth/shared/domain/placement.ts";
import { lotOf } from "../../services/agent/src/core/capacity.ts";
import { isAskedAgain } from "../../services/scheduler/src/core/ask-again.ts";
import { desiredJobs, heldLater, isWhole } from "../../services/scheduler/src/core/desired-set.ts";
import { type Hearing, hear } from "../../services/scheduler/src/core/hearing.ts";
import { judgeHosts } from "../../services/scheduler/src/core/judge-hosts.ts";
import { contend } from "../../services/scheduler/src/core/lead.ts";
import { placeBatch } from "../../services/scheduler/src/core/place-batch.ts";
import { planService } from "../../services/scheduler/src/core/plan-service.ts";
import type { JobView } from "../../services/scheduler/src/core/views.ts";
import { decideMove } from "./decide-move.ts";
import { asGuarded, presentHosts } from "./guarded-view.ts";
import type { AwardReply, Beat, ChangedBeat, SaidBeat, SameBeat, SentAward } from "./messages.ts";
import { Endpoint } from "./network.ts";
import { Process, type Routine } from "./process.ts";
import { Promised } from "./promised.ts";
import { Rounds } from "./rounds.ts";
import { HeardBeats } from "./sim-beats.ts";
import { readSnapshot, type Snapshot, type SnapshotJob } from "./snapshot.ts";
import * as transactions from "./transactions.ts";
import { LIMITS, type World } from "./world.ts";

const DECLINE_MEMORY_MS = 5000;
const MAX_ROUNDS = 8;

export class SimScheduler {
  readonly world: World;
  readonly name: string;
  readonly process: Process;
  readonly endpoint: Endpoint;
  holder = "";
  epoch: number | null = null;
  #heldUntilMs = 0;
  #hearing: Hearing = { sinceMs: 0, lastMs: 0 };
  #frozenAtMs = Number.NEGATIVE_INFINITY;
  #bids = new Map<HostId, { state: HostState; expiresAtMs: number }>();
  #states = new Map<HostId, "alive" | "suspect" | "lost">();
  #unplaceable = new Map<JobId, NonNullable<JobView["unplaceable"]>>();
  #declines = new Map<JobId, Map<HostId, { refusal: Refusal; untilMs: number }>>();
  #heard: HeardBeats;
  #lastWords = new LastWords<Beat, ChangedBeat, SameBeat>();
  #frozen = false;
  #sentAtMs = new Map<string, number>();
  #revision = 0;
  #promised = new Promised();
  readonly #planning: Rounds;
  readonly #auctions: Rounds;

  constructor(world: World, name: string) {
    this.world = world;
    this.name = name;
    this.#heard = new HeardBeats(world);
    this.process = new Process(name, world.timeline);
    this.endpoint = new Endpoint(this.process);
    this.#planning = new Rounds(this.process, () => this.#guarded(() => this.#reconcile()));
    this.#auctions = new Rounds(this.process, () => this.#guarded(() => this.#auction()));
  }

  start(): void {
    this.process.start();
    this.holder = `${this.name}#${this.process.incarnation}`;
    this.epoch = null;
    this.#heldUntilMs = 0;
    this.#hearing = { sinceMs: this.#now(), lastMs: 0 };
    this.#frozenAtMs = Number.NEGATIVE_INFINITY;
    this.#bids = new Map();
    this.#states = new Map();
    this.#unplaceable = new Map();
    this.#declines = new Map();
    this.#heard = new HeardBeats(this.world);
    this.#lastWords = new LastWords();
    this.#frozen = false;
    this.#sentAtMs = new Map();
    this.#revision = 0;
    this.#promised = new Promised();
    this.#planning.reset();
    this.#auctions.reset();
    this.process.spawn(this.#contend());
    this.process.every(LIMITS.reconcileEveryMs, () => this.wake());
    this.process.every(LIMITS.reconcileEveryMs, this.#auctions.wake);
  }

  #now(): number {
    return this.world.timeline.nowMs;
  }

  get leads(): boolean {
    return this.epoch !== null && this.#now() < this.#heldUntilMs;
  }

  /** One transaction of the record, with the way there and back. */
  *#record<T>(work: () => T): Routine<T> {
    const { rng, weather, store } = this.world;
    const slow = weather.slowRecord > 0 && rng.chance(weather.slowRecord);
    yield slow ? rng.between(50, 3000) : rng.between(1, 3);
    if (store.down) throw new transactions.RecordDown();
    const result = work();
    yield slow ? rng.between(50, 3000) : 1;
    return result;
  }

  *#contend(): Routine {
    for (;;) {
      const askedAtMs = this.#now();
      try {
        const won = yield* this.#record(() => this.#takeLead());
        if (won !== null) this.#heldUntilMs = askedAtMs + LIMITS.leaderLeaseMs;
        const elected = won !== null && won !== this.epoch;
        this.epoch = won;
        if (elected) this.world.trace(this.name, () => `${this.name}: leads with epoch ${won}`);
        if (elected) this.wake();
      } catch (error) {
        if (!(error instanceof transactions.RecordDown)) throw error;
      }
      yield LIMITS.leaderLeaseMs / 4;
    }
  }

  #takeLead(): number | null {
    const record = this.world.store.now;
    const { leader } = record;
    const row = leader === null ? null : { ...leader, expired: leader.expiresAtMs <= this.#now() };
    const epoch = contend(row, this.holder);
    if (epoch !== null)
      record.leader = { holder: this.holder, epoch, expiresAtMs: this.#now() + LIMITS.leaderLeaseMs };
    return epoch;
  }

  wake(): void {
    this.#planning.wake();
  }

  *#guarded(round: () => Routine): Routine {
    try {
      yield* round();
    } catch (error) {
      if (!(error instanceof transactions.RecordDown || error instanceof transactions.StaleLeader))
        throw error;
      yield 100;
    }
  }

  *#reconcile(): Routine {
    if (!this.leads) return;
    yield* this.#judge();
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const beats = new Map(this.#heard.answered);
      const snapshot = yield* this.#read();
      let planned = 0;
      for (const service of snapshot.services) {
        const steps = planService(asGuarded(this.world, service), this.#now(), LIMITS);
        if (steps.length === 0) continue;
        planned += steps.length;
        yield* this.#record(() => transactions.applySteps(this.world, this, service.serviceId, steps));
      }
      if (planned > 0) this.#auctions.wake();
      if (planned > 0) continue;
      if (yield* this.#rebalance(snapshot)) continue;
      this.#auctions.wake();
      if (this.leads) this.#sendDesired(snapshot, beats);
      return;
    }
  }

  *#read(): Routine<Snapshot> {
    return yield* this.#record(() =>
      readSnapshot(this.world.store.now, this.#now(), this.#unplaceable, this.#heard.reports, this.#frozen),
    );
  }

  *#judge(): Routine {
    yield* this.#record(() => this.#judgeNow());
  }

  #judgeNow(): void {
    transactions.fence(this.world, this);
    const silences = [...this.world.store.now.hosts.values()];
    const given = this.world.on("mass-silence")
      ? silences
      : [...silences, ...presentHosts(silences.length + 1)];
    const nowMs = Math.max(this.#now(), 0);
    this.world.invariants.judged(this.name, this.#hearing.sinceMs);
    const frozenAtMs = this.world.on("mass-silence") ? this.#frozenAtMs : undefined;
    const { verdicts, frozen } = judgeHosts(given, nowMs, this.#hearing.sinceMs, LIMITS, frozenAtMs);
    if (frozen) this.#frozenAtMs = nowMs;
    this.#frozen = frozen;
    for (const { hostId, state } of verdicts) this.#states.set(hostId, state);
    transactions.storeVerdicts(this.world, this, verdicts);
  }

  *#rebalance(snapshot: Snapshot): Routine<boolean> {
    const { move: open, rebalancing } = this.world.store.now;
    if (open === null && !rebalancing) return false;
    const bids = open === null ? (yield* this.#collectBids()).states : [];
    const step = decideMove(snapshot, bids, open, this.#now());
    if (step.kind === "wait") return false;
    yield* this.#record(() => transactions.applyMoveStep(this.world, this, step));
    return step.kind !== "finish";
  }

  /** One auction of all that waits. Nobody waits for the answers: what is on its way to a host counts as taken there. */
  *#auction(): Routine {
    if (!this.leads) return;
    const snapshot = yield* this.#read();
    const later = heldLater(this.#heard.reports.values(), snapshot.reported);
    const requested = snapshot.jobs.filter(
      ({ view }) => view.state === "requested" && view.desired === "run" && !later.has(view.id),
    );
    const open = new Set(requested.map(({ view }) => view.id));
    for (const map of [this.#unplaceable, this.#declines])
      for (const id of map.keys()) if (!open.has(id)) map.delete(id);
    this.#askAgain(snapshot);
    if (requested.length === 0) return;
    const { states, silent } = yield* this.#collectBids();
    const lots = requested.map((one) => this.#lot(one));
    // With the guard off every lot sees the hosts as if no other had been placed.
    const batches = this.world.on("capacity-recheck") ? [lots] : lots.map((lot) => [lot]);
    const placements = batches.flatMap((batch) => placeBatch(batch, states, silent, DEFAULT_WEIGHTS));
    const byId = new Map(requested.map((one) => [one.view.id, one]));
    const leaseExpiresAtMs = this.#now() + LIMITS.awardLeaseMs;
    const awards = yield* this.#record(() => {
      transactions.fence(this.world, this);
      const taken: SentAward[] = [];
      for (const placement of placements) {
        const job = byId.get(placement.jobId);
        if (job === undefined) continue;
        if (placement.outcome === "unplaceable") {
          const sinceMs = this.#unplaceable.get(placement.jobId)?.sinceMs ?? this.#now();
          const { commonRefusal: reason, hopeless } = placement;
          this.#unplaceable.set(placement.jobId, { reason, hopeless, sinceMs });
        } else if (transactions.award(this.world, job.row, placement.hostId, leaseExpiresAtMs)) {
          taken.push({ job, hostId: placement.hostId, epoch: job.epoch + 1, leaseExpiresAtMs });
        }
      }
      return taken;
    });
    this.#send(awards);
  }

  /** Unanswered awards are sent again. */
  #askAgain(snapshot: Snapshot): void {
    const awards = snapshot.jobs.flatMap((job): SentAward[] => {
      const { hostId, leaseExpiresAtMs } = job.row;
      const sentAtMs = this.#sentAtMs.get(`${job.view.id} ${job.epoch}`) ?? null;
      if (!isAskedAgain({ ...job.view, leaseExpiresAtMs, sentAtMs }, this.#now()) || hostId === null)
        return [];
      return [{ job, hostId, epoch: job.epoch, leaseExpiresAtMs: leaseExpiresAtMs ?? 0 }];
    });
    this.#send(awards, false);
  }

  #lot(job: SnapshotJob) {
    const declinedBy = new Map<HostId, Refusal>();
    for (const [hostId, decline] of this.#declines.get(job.view.id) ?? [])
      if (decline.untilMs > this.#now()) declinedBy.set(hostId, decline.refusal);
    const { slot, deployId } = job.view;
    return { ...lotOf(job.row.spec), slot, deployId, declinedBy };
  }

  *#collectBids(): Routine<{
    states: HostState[];
    silent: { hostId: HostId; host: string; refusal: Refusal }[];
  }> {
    const states: HostState[] = [];
    const silent: { hostId: HostId; host: string; refusal: Refusal }[] = [];
    for (const host of this.world.hosts) {
      const standing = this.#bids.get(host.id);
      let state = standing !== undefined && standing.expiresAtMs > this.#now() ? standing.state : null;
      const known = this.#states.get(host.id);
      if (state === null && (known === undefined || known === "alive"))
        state = yield* this.world.network.request(this.endpoint, host.endpoint, 300, (reply) =>
          reply(host.state()),
        );
      if (state !== null) states.push(this.#promised.on(state));
      else silent.push({ hostId: host.id, host: host.id, refusal: { code: "host-silent", detail: "" } });
    }
    return { states, silent };
  }

  /** @param promised false for awards that are sent again: their host may have answered already */
  #send(awards: readonly SentAward[], promised = true): void {
    for (const [hostId, group] of Map.groupBy(awards, (award) => award.hostId)) {
      // With the guard off nothing is reserved.
      const lots =
        promised && this.world.on("capacity-recheck") ? group.map(({ job }) => lotOf(job.row.spec)) : [];
      const settle = this.#promised.add(hostId, lots);
      this.process.spawn(this.#award(hostId, group, settle), (declined) => {
        if (declined) this.#auctions.wake();
      });
    }
  }

  /** @returns whether the host declined something */
  *#award(hostId: HostId, awards: readonly SentAward[], settle: () => void): Routine<boolean> {
    const leaderEpoch = this.epoch;
    const host = this.world.hosts.find(({ id }) => id === hostId);
    if (leaderEpoch === null || !this.leads || host === undefined) {
      settle();
      return false;
    }
    const jobs = awards.map(({ job, epoch }) => ({ ...job.row.spec, epoch }));
    for (const { job, epoch } of awards) this.#sentAtMs.set(`${job.view.id} ${epoch}`, this.#now());
    const leaseExpiresAtMs = Math.min(...awards.map((award) => award.leaseExpiresAtMs));
    const reply = yield* this.world.network.request<AwardReply>(
      this.endpoint,
      host.endpoint,
      2000,
      (answer) => host.award({ leaderEpoch, leaseExpiresAtMs, jobs }, answer),
    );
    settle();
    if (reply === null) return false;
    this.#bids.set(hostId, {
      state: reply.state,
      expiresAtMs: this.#bids.get(hostId)?.expiresAtMs ?? this.#now() + 5000,
    });
    let declined = false;
    for (const { jobId, epoch, refusal } of reply.answers) {
      try {
        if (refusal === null) {
          yield* this.#record(() => transactions.acceptAward(this.world, jobId as JobId, epoch));
          continue;
        }
        declined = true;
        const declines = this.#declines.get(jobId as JobId) ?? new Map();
        declines.set(hostId, { refusal, untilMs: this.#now() + DECLINE_MEMORY_MS });
        this.#declines.set(jobId as JobId, declines);
        yield* this.#record(() => transactions.declineAward(this.world, jobId as JobId, epoch));
      } catch (error) {
        if (!(error instanceof transactions.RecordDown)) throw error;
      }
    }
    return declined;
  }

  #sendDesired(
    snapshot: Snapshot,
    beats: ReadonlyMap<HostId, { bootId: string; monotonicMs: number }>,
  ): void {
    const { epoch: leaderEpoch } = this;
    if (leaderEpoch === null) return;
    for (const host of this.world.hosts) {
      const jobs = desiredJobs(snapshot.jobs, host.id);
      const whole =
        !this.world.on("strangers") ||
        isWhole(this.#heard.reports.get(host.id), snapshot.reported, this.#now());
      this.#revision += 1;
      const answersBeat = beats.get(host.id);
      const set = {
        leaderEpoch,
        revision: this.#revision,
        whole,
        madeAtMs: snapshot.readAtMs,
        answersBeat,
        jobs,
      };
      this.world.network.send(this.endpoint, host.endpoint, () => host.desire(set));
    }
  }

  /** A heartbeat came. */
  heard(told: SaidBeat): void {
    const beat = this.#lastWords.complete(told);
    const host = this.world.hosts.find(({ id }) => id === told.hostId);
    if (beat !== null) this.process.spawn(this.#takeBeat(beat));
    else if (host !== undefined)
      this.world.network.send(this.endpoint, host.endpoint, () => host.beatInFull());
  }

  *#takeBeat(beat: Beat): Routine {
    this.#hearing = hear(this.#hearing, this.#now(), LIMITS.suspectAfterMs);
    this.#bids.set(beat.hostId, { state: beat.state, expiresAtMs: this.#now() + LIMITS.bidLifeMs });
    try {
      const record = <T>(work: () => T) => this.#record(work);
      if (yield* this.#heard.store(beat, record)) this.wake();
    } catch (error) {
      if (!(error instanceof transactions.RecordDown)) throw error;
    }
  }

  /** The stream gives an observation to one of the schedulers. */
  observed(hostId: HostId, seen: ObservedJob): void {
    this.process.after(0, () => {
      if (this.world.store.down) return;
      if (transactions.takeObservation(this.world, hostId, seen)) this.wake();
    });
  }
}
