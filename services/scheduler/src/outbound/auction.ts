/**
 * Runs auctions: bids in, decisions stored, awards out, answers taken.
 *
 * What must stay true: the award is stored before it is sent, and an unanswered award is not a refusal: it is sent
 * again, and the job stays awarded until the host's own word or the end of its lease.
 *
 * A large batch goes out in waves: while hosts answer one, the next is stored. The answers are not waited for: a host
 * that does not answer must not hold up the others, and what it was awarded counts as taken until it spoke.
 */
import { AwardJobs } from "@berth/shared/contracts/job.ts";
import type { HostId, JobId } from "@berth/shared/domain/ids.ts";
import type { Refusal } from "@berth/shared/domain/placement.ts";
import { formatBytes } from "@berth/shared/domain/resources.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import { recordSpan } from "@berth/shared/kit/telemetry.ts";
import type { Kysely } from "kysely";
import { isAskedAgain } from "../core/ask-again.ts";
import type { BatchLot } from "../core/batch-lot.ts";
import type { Placement } from "../core/place-batch.ts";
import { placePods } from "../core/place-pods.ts";
import type { JobView } from "../core/views.ts";
import { AnswerBook } from "./answer-book.ts";
import { type Answered, type Decided, storeDecisions } from "./auction-record.ts";
import type { AuctionJob, StoredHost } from "./auction-view.ts";
import type { Board } from "./board-reader.ts";
import type { HostRegistry } from "./host-registry.ts";
import type { Leadership } from "./leader.ts";
import type { Rebalancer } from "./rebalancer.ts";
import type { Progress } from "./steps.ts";
import type { Tables } from "./tables.ts";
import { Waves } from "./waves.ts";

interface Given {
  readonly db: Kysely<Tables>;
  readonly bus: Bus;
  readonly log: Log;
  readonly hosts: HostRegistry;
  readonly leadership: Leadership;
  readonly awardLeaseMs: number;
  readonly rebalancer: Pick<Rebalancer, "refusalsFor">;
  /** Lines for whoever waits for a deploy. */
  readonly tell: (progress: readonly Progress[]) => void;
  /** A job is up for auction again. */
  readonly wake: () => void;
}

interface Award {
  readonly job: AuctionJob;
  readonly hostId: HostId;
  readonly epoch: number;
  readonly decisionId: string;
  /** As stored: the agent must not take the job up after the record may have given it away. */
  readonly leaseExpiresAtMs: number;
  /** Null when it is sent again. */
  readonly placement: Extract<Placement, { outcome: "placed" }> | null;
}

const DECLINE_MEMORY_MS = 5000;
/** An award that nobody answered is forgotten here after this; the record still has it. */
const SENT_MEMORY_MS = 60_000;

export class Auctioneer {
  readonly #given: Given;
  readonly #answers: AnswerBook;
  readonly #waves = new Waves<Award>();
  /** Jobs that no host takes, why, and since when. Rebuilt by the next auction, so memory is enough. */
  readonly unplaceable = new Map<JobId, NonNullable<JobView["unplaceable"]>>();
  readonly #declines = new Map<JobId, Map<HostId, { refusal: Refusal; untilMs: number }>>();
  readonly #lastRefusal = new Map<JobId, string>();
  /** When this process sent an award that is not answered, by job and epoch. */
  readonly #sentAtMs = new Map<string, number>();

  constructor(given: Given) {
    this.#given = given;
    this.#answers = new AnswerBook(given.db);
  }

  /** Places every requested job that some host takes. Ends when all awards are on their way. */
  async run(jobs: readonly AuctionJob[], { hosts, policies, pods, strategies }: Board): Promise<void> {
    const requested = jobs.filter(({ state }) => state === "requested");
    await this.#askAgain(
      jobs.filter(({ state }) => state === "awarded"),
      hosts,
    );
    if (requested.length === 0) return;
    const startedAtMs = Date.now();
    const bids = await this.#given.hosts.bids(hosts);
    const placements = placePods(
      requested.map((job) => this.#lot(job, hosts)),
      bids.states,
      bids.silent,
      {
        strategies,
        ofHost: pods,
        ofService: new Map(requested.map(({ serviceId, pod }) => [serviceId, pod])),
      },
      policies,
    );
    const byId = new Map(requested.map((job) => [job.id, job]));
    const names = new Map(hosts.map((host) => [host.id, host.name]));
    const news = placements.filter((one) => one.outcome === "placed" || this.#isNews(one));
    await this.#carryOut(news, byId, names);
    // After the fact: an auction is of many deploys, so that awards are of no trace but their own jobs'.
    recordSpan({
      ...{ name: "auction", parent: null, startedAtMs, endedAtMs: Date.now() },
      attributes: { "berth.lots": requested.length, "berth.bids": bids.states.length },
    });
  }

  async #carryOut(
    placements: readonly Placement[],
    byId: ReadonlyMap<JobId, AuctionJob>,
    names: ReadonlyMap<HostId, string>,
  ): Promise<void> {
    const hostOf = (one: Placement) => (one.outcome === "placed" ? one.hostId : null);
    for (const wave of this.#waves.cut(placements, hostOf)) {
      const awards = await this.#store(wave, byId);
      crashPoint("scheduler.awards-stored");
      await this.#sendAll(awards, names);
    }
  }

  /**
   * Sends unanswered awards again. An agent answers the same job and epoch the same way, and an acceptance is stored
   * when it comes, if the award still stands then.
   */
  async #askAgain(standing: readonly AuctionJob[], hosts: readonly StoredHost[]): Promise<void> {
    const nowMs = Date.now();
    for (const [key, atMs] of this.#sentAtMs) if (nowMs - atMs > SENT_MEMORY_MS) this.#sentAtMs.delete(key);
    const unanswered = standing.filter((job) => {
      const sentAtMs = this.#sentAtMs.get(awardKey(job.id, job.epoch)) ?? null;
      return isAskedAgain({ ...job, sentAtMs }, nowMs);
    });
    if (unanswered.length === 0) return;
    const decisions = await this.#given.db
      .selectFrom("decisions")
      .select(["id", "job_id", "epoch"])
      .where(
        "job_id",
        "in",
        unanswered.map(({ id }) => id),
      )
      .execute();
    const decisionOf = new Map(decisions.map((one) => [awardKey(one.job_id, one.epoch), one.id]));
    const awards = unanswered.flatMap((job): Award[] => {
      const decisionId = decisionOf.get(awardKey(job.id, job.epoch));
      const { hostId, epoch, leaseExpiresAtMs } = job;
      if (decisionId === undefined || hostId === null || leaseExpiresAtMs === null) return [];
      return [{ job, hostId, epoch, decisionId, leaseExpiresAtMs, placement: null }];
    });
    this.#given.log.info("awards.asked-again", { jobs: awards.length });
    await this.#sendAll(awards, new Map(hosts.map((host) => [host.id, host.name])));
  }

  /** @param open jobs that wait for a host: what is known of others is over */
  forgetOthers(open: ReadonlySet<JobId>): void {
    for (const map of [this.unplaceable, this.#declines, this.#lastRefusal]) {
      for (const id of map.keys()) if (!open.has(id)) map.delete(id);
    }
  }

  #lot(job: AuctionJob, hosts: readonly StoredHost[]): BatchLot {
    const nowMs = Date.now();
    const declinedBy = new Map<HostId, Refusal>(this.#given.rebalancer.refusalsFor(job, hosts));
    for (const [hostId, decline] of this.#declines.get(job.id) ?? []) {
      if (decline.untilMs > nowMs) declinedBy.set(hostId, decline.refusal);
    }
    return { ...job.lot, slot: job.slot, deployId: job.deployId, declinedBy };
  }

  async #store(placements: readonly Placement[], byId: ReadonlyMap<JobId, AuctionJob>): Promise<Award[]> {
    const leaseUntil = new Date(Date.now() + this.#given.awardLeaseMs);
    const decided = placements.flatMap((placement): (Decided & { job: AuctionJob })[] => {
      const job = byId.get(placement.jobId);
      if (job === undefined) return [];
      const { serviceId, epoch } = job;
      return [{ job, placement, serviceId, epoch, decisionId: newId("decision") }];
    });
    const { db, leadership } = this.#given;
    const taken = await storeDecisions(db, leadership.held, decided, leaseUntil);
    return decided.flatMap(({ job, placement, epoch, decisionId }): Award[] => {
      if (placement.outcome !== "placed" || !taken.has(job.id)) return [];
      const leaseExpiresAtMs = leaseUntil.getTime();
      const { hostId } = placement;
      return [{ job, hostId, epoch: epoch + 1, decisionId, leaseExpiresAtMs, placement }];
    });
  }

  /** An unplaceable decision is stored again only when its reason changed. */
  #isNews(placement: Extract<Placement, { outcome: "unplaceable" }>): boolean {
    const { jobId, commonRefusal: reason, hopeless } = placement;
    const since = this.unplaceable.get(jobId)?.sinceMs ?? Date.now();
    this.unplaceable.set(jobId, { reason, hopeless, sinceMs: since });
    const signature = placement.candidates.map((one) => `${one.hostId}:${one.refusal?.code}`).join();
    if (this.#lastRefusal.get(jobId) === signature) return false;
    this.#lastRefusal.set(jobId, signature);
    return true;
  }

  /** Resolves when the last one is sent, which may wait for answers to earlier ones, but not for their storing. */
  async #sendAll(awards: readonly Award[], names: ReadonlyMap<HostId, string>): Promise<void> {
    await this.#waves.send(
      awards,
      ({ hostId }) => hostId,
      (hostId, group) => this.#award(hostId as HostId, group, names.get(hostId as HostId) ?? hostId),
    );
  }

  async #award(hostId: HostId, awards: readonly Award[], hostName: string): Promise<void> {
    const { bus, hosts, leadership, log } = this.#given;
    const leaderEpoch = leadership.epoch;
    if (leaderEpoch === null) return;
    for (const { job, epoch } of awards) this.#sentAtMs.set(awardKey(job.id, epoch), Date.now());
    const leaseExpiresAtMs = Math.min(...awards.map((award) => award.leaseExpiresAtMs));
    const head = JSON.stringify({ hostId, leaderEpoch, leaseExpiresAtMs });
    const award = `${head.slice(0, -1)},"jobs":[${awards.map(({ job }) => job.spec).join(",")}]}`;
    const settle = hosts.promise(
      hostId,
      awards.flatMap(({ job, placement }) => (placement === null ? [] : [job.lot])),
    );
    const reply = await bus.requestStored(AwardJobs, { hostId }, award).catch((error: unknown) => {
      log.warn("award.unanswered", { hostId, jobs: awards.length, error: describeError(error) });
      return null;
    });
    settle(reply?.state ?? null);
    if (reply !== null) crashPoint("scheduler.award-answered");
    const taken =
      reply === null
        ? this.#write(awards.map((award) => ({ ...answerOf(award), answer: "no-answer" })))
        : this.#take(awards, reply.answers, hostName);
    // Not waited for: the next message may leave.
    taken.catch((error: unknown) => log.warn("answers.not-taken", { hostId, error: describeError(error) }));
  }

  async #take(awards: readonly Award[], answers: readonly Answer[], hostName: string): Promise<void> {
    const byKey = new Map(awards.map((award) => [awardKey(award.job.id, award.epoch), award]));
    const heard = answers.flatMap((answer) => {
      const award = byKey.get(awardKey(answer.jobId, answer.epoch));
      return award === undefined ? [] : [{ award, answer }];
    });
    for (const { award, answer } of heard)
      if (answer.answer === "declined") this.#remember(award, { code: answer.code, detail: answer.detail });
    await this.#write(heard.map(({ award, answer }) => ({ ...answerOf(award), answer: answer.answer })));
    const accepted = heard.filter(({ answer }) => answer.answer === "accepted");
    for (const { award } of heard) this.#sentAtMs.delete(awardKey(award.job.id, award.epoch));
    if (accepted.length > 0)
      this.#given.tell(
        accepted.map(({ award }) => ({ deployId: award.job.deployId, line: describeAward(award, hostName) })),
      );
    if (accepted.length < heard.length) this.#given.wake();
  }

  #remember(award: Award, refusal: Refusal): void {
    const declines = this.#declines.get(award.job.id) ?? new Map();
    declines.set(award.hostId, { refusal, untilMs: Date.now() + DECLINE_MEMORY_MS });
    this.#declines.set(award.job.id, declines);
    this.#given.log.info("award.declined", { jobId: award.job.id, hostId: award.hostId, ...refusal });
  }

  /** What is not written down stays awarded, and is asked for again. */
  async #write(answers: readonly Answered[]): Promise<void> {
    await this.#answers
      .write(answers)
      .catch((error: unknown) =>
        this.#given.log.warn("answers.not-stored", { jobs: answers.length, error: describeError(error) }),
      );
  }
}

type Answer = (typeof AwardJobs.reply)["_output"]["answers"][number];

function answerOf({ job, epoch, decisionId }: Award): Omit<Answered, "answer"> {
  return { decisionId, jobId: job.id, epoch, atMs: Date.now() };
}

function awardKey(jobId: string, epoch: number): string {
  return `${jobId} ${epoch}`;
}

function describeAward({ job, hostId, placement }: Award, hostName: string): string {
  const what = `${job.process}.${job.slot} goes to ${hostName}`;
  if (placement === null) return what;
  const bid = placement.candidates.find((one) => one.hostId === hostId)?.bid ?? null;
  const free = bid === null ? "" : `, ${formatBytes(bid.memoryFreeBytes)} free`;
  return `${what} (best of ${placement.bidders} bid${placement.bidders === 1 ? "" : "s"}${free})`;
}
