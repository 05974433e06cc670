/**
 * Runs auctions: bids in, decisions stored, awards out, answers taken.
 *
 * What must stay true: the award is stored before it is sent, and an unanswered award is not a refusal: it is sent
 * again, and the job stays awarded until the host's own word or the end of its lease.
 */
import { AwardJobs } from "@berth/shared/contracts/job.ts";
import type { HostId, JobId } from "@berth/shared/domain/ids.ts";
import type { Refusal } from "@berth/shared/domain/placement.ts";
import { DEFAULT_WEIGHTS } from "@berth/shared/domain/placement.ts";
import { formatBytes } from "@berth/shared/domain/resources.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import { withSpan } from "@berth/shared/kit/telemetry.ts";
import type { Kysely } from "kysely";
import { sql } from "kysely";
import { isAskedAgain } from "../core/ask-again.ts";
import { givenBack } from "../core/judge-absence.ts";
import type { BatchLot, Placement } from "../core/place-batch.ts";
import { placeBatch } from "../core/place-batch.ts";
import type { JobView } from "../core/views.ts";
import type { HostRegistry } from "./host-registry.ts";
import type { Leadership } from "./leader.ts";
import type { Snapshot, StoredJob } from "./snapshot.ts";
import type { Progress } from "./steps.ts";
import type { Tables } from "./tables.ts";

interface Given {
  readonly db: Kysely<Tables>;
  readonly bus: Bus;
  readonly log: Log;
  readonly hosts: HostRegistry;
  readonly leadership: Leadership;
  readonly awardLeaseMs: number;
}

interface Award {
  readonly job: StoredJob;
  readonly hostId: HostId;
  readonly epoch: number;
  readonly decisionId: string;
  /** As stored: the agent must not take the job up after the record may have given it away. */
  readonly leaseExpiresAtMs: number;
}

const DECLINE_MEMORY_MS = 5000;

export class Auctioneer {
  readonly #given: Given;
  /** Jobs that no host takes, why, and since when. Rebuilt by the next auction, so memory is enough. */
  readonly unplaceable = new Map<JobId, NonNullable<JobView["unplaceable"]>>();
  readonly #declines = new Map<JobId, Map<HostId, { refusal: Refusal; untilMs: number }>>();
  readonly #lastRefusal = new Map<JobId, string>();
  /** When this process sent an award, by job and epoch. */
  readonly #sentAtMs = new Map<string, number>();

  constructor(given: Given) {
    this.#given = given;
  }

  /** Places every requested job of the snapshot that some host takes. @returns what to tell the pushers */
  async run(
    snapshot: Snapshot,
    heldLater: ReadonlySet<string>,
  ): Promise<{ progress: Progress[]; again: boolean }> {
    const requested = snapshot.jobs.filter(
      ({ view }) => view.state === "requested" && view.desired === "run" && !heldLater.has(view.id),
    );
    this.#forget(requested);
    await this.#askAgain(snapshot);
    if (requested.length === 0) return { progress: [], again: false };
    const bids = await this.#given.hosts.bids(snapshot.hosts);
    const placements = placeBatch(
      requested.map((job) => this.#lot(job)),
      bids.states,
      bids.silent,
      DEFAULT_WEIGHTS,
      new Map(snapshot.hosts.map((host) => [host.id, host.policy])),
    );
    const byId = new Map(requested.map((job) => [job.view.id, job]));
    const awards = await this.#store(placements, byId);
    crashPoint("scheduler.awards-stored");
    const progress = await withSpan(
      "auction",
      { "berth.lots": requested.length, "berth.bids": bids.states.length },
      () => this.#send(awards, placements, snapshot),
    );
    const declined = progress.some((one) => one.declined);
    return { progress: progress.flatMap((one) => one.told), again: declined };
  }

  /**
   * Sends unanswered awards again. The answers are not waited for: a host that does not answer must not hold up the
   * others' rounds, and an acceptance is stored when it comes, if the award still stands then.
   */
  async #askAgain(snapshot: Snapshot): Promise<void> {
    const standing = snapshot.jobs.filter(({ view }) => view.state === "awarded");
    const keys = new Set(standing.map(awardKey));
    for (const key of this.#sentAtMs.keys()) if (!keys.has(key)) this.#sentAtMs.delete(key);
    const nowMs = Date.now();
    const unanswered = standing.filter((job) => {
      const { view, leaseExpiresAtMs } = job;
      const sentAtMs = this.#sentAtMs.get(awardKey(job)) ?? null;
      return isAskedAgain({ ...view, leaseExpiresAtMs, sentAtMs }, nowMs);
    });
    if (unanswered.length === 0) return;
    const decisions = await this.#given.db
      .selectFrom("decisions")
      .select(["id", "job_id", "epoch"])
      .where(
        "job_id",
        "in",
        unanswered.map(({ view }) => view.id),
      )
      .execute();
    const awards = unanswered.flatMap((job) => {
      const made = decisions.find((one) => one.job_id === job.view.id && one.epoch === job.epoch);
      const { hostId } = job.view;
      return made === undefined || hostId === null
        ? []
        : [
            {
              job,
              hostId,
              epoch: job.epoch,
              decisionId: made.id,
              leaseExpiresAtMs: job.leaseExpiresAtMs ?? 0,
            },
          ];
    });
    this.#given.log.info("awards.asked-again", { jobs: awards.length });
    void this.#send(awards, [], snapshot).catch((error: unknown) =>
      this.#given.log.warn("awards.not-asked-again", { error: describeError(error) }),
    );
  }

  #forget(requested: readonly StoredJob[]): void {
    const open = new Set(requested.map((job) => job.view.id));
    for (const map of [this.unplaceable, this.#declines, this.#lastRefusal]) {
      for (const id of map.keys()) if (!open.has(id)) map.delete(id);
    }
  }

  #lot(job: StoredJob): BatchLot {
    const nowMs = Date.now();
    const declinedBy = new Map<HostId, Refusal>();
    for (const [hostId, decline] of this.#declines.get(job.view.id) ?? []) {
      if (decline.untilMs > nowMs) declinedBy.set(hostId, decline.refusal);
    }
    return {
      jobId: job.view.id,
      orgId: job.spec.orgId,
      serviceId: job.serviceId,
      process: job.view.process,
      slot: job.view.slot,
      resources: job.spec.resources,
      imageDigest: job.spec.image.digest,
      imageBytes: job.spec.image.bytes,
      constraints: job.spec.constraints,
      declinedBy,
    };
  }

  /** Decisions and awards in one transaction. An unplaceable decision is stored again only when its reason changed. */
  async #store(placements: readonly Placement[], byId: ReadonlyMap<JobId, StoredJob>): Promise<Award[]> {
    const leaseUntil = new Date(Date.now() + this.#given.awardLeaseMs);
    return this.#given.db.transaction().execute(async (trx) => {
      await this.#given.leadership.fence(trx);
      const awards: Award[] = [];
      for (const placement of placements) {
        const job = byId.get(placement.jobId);
        if (job === undefined) continue;
        if (placement.outcome === "unplaceable" && !this.#isNews(placement)) continue;
        const placed = placement.outcome === "placed";
        const epoch = job.epoch + 1;
        if (placed) {
          const taken = await sql`
            update jobs set state = 'awarded', epoch = ${epoch}, host_id = ${placement.hostId}, observed_sequence = -1, lease_expires_at = ${leaseUntil}, updated_at = now()
             where id = ${placement.jobId} and state = 'requested' and desired = 'run' and epoch = ${job.epoch} returning id`.execute(
            trx,
          );
          if (taken.rows.length === 0) continue;
        }
        const decisionId = newId("decision");
        await trx
          .insertInto("decisions")
          .values({
            id: decisionId,
            job_id: placement.jobId,
            service_id: job.serviceId,
            epoch,
            outcome: placement.outcome,
            winner_host_id: placed ? placement.hostId : null,
            candidates: JSON.stringify(placement.candidates),
            common_refusal: placed ? null : placement.commonRefusal,
          })
          .execute();
        if (placed)
          awards.push({
            job,
            hostId: placement.hostId,
            epoch,
            decisionId,
            leaseExpiresAtMs: leaseUntil.getTime(),
          });
      }
      return awards;
    });
  }

  #isNews(placement: Extract<Placement, { outcome: "unplaceable" }>): boolean {
    const { jobId, commonRefusal: reason, hopeless } = placement;
    const since = this.unplaceable.get(jobId)?.sinceMs ?? Date.now();
    this.unplaceable.set(jobId, { reason, hopeless, sinceMs: since });
    const signature = placement.candidates.map((one) => `${one.hostId}:${one.refusal?.code}`).join();
    if (this.#lastRefusal.get(jobId) === signature) return false;
    this.#lastRefusal.set(jobId, signature);
    return true;
  }

  async #send(
    awards: readonly Award[],
    placements: readonly Placement[],
    snapshot: Snapshot,
  ): Promise<{ told: Progress[]; declined: boolean }[]> {
    const names = new Map(snapshot.hosts.map((host) => [host.id, host.name]));
    const byHost = Map.groupBy(awards, (award) => award.hostId);
    const sent = await Promise.all(
      [...byHost].map(([hostId, group]) =>
        this.#award(hostId, group, names.get(hostId) ?? hostId, placements),
      ),
    );
    return sent;
  }

  async #award(
    hostId: HostId,
    awards: readonly Award[],
    hostName: string,
    placements: readonly Placement[],
  ): Promise<{ told: Progress[]; declined: boolean }> {
    const told: Progress[] = [];
    let declined = false;
    const leaderEpoch = this.#given.leadership.epoch;
    if (leaderEpoch === null) return { told, declined };
    for (const { job, epoch } of awards) this.#sentAtMs.set(awardKey({ ...job, epoch }), Date.now());
    const jobs = awards.map((award) => ({ ...award.job.spec, epoch: award.epoch }));
    try {
      const leaseExpiresAtMs = Math.min(...awards.map((award) => award.leaseExpiresAtMs));
      const reply = await this.#given.bus.request(AwardJobs, { hostId, leaderEpoch, leaseExpiresAtMs, jobs });
      crashPoint("scheduler.award-answered");
      this.#given.hosts.refresh(hostId, reply.state);
      for (const answer of reply.answers) {
        const award = awards.find((one) => one.job.view.id === answer.jobId && one.epoch === answer.epoch);
        if (award === undefined) continue;
        if (answer.answer === "accepted") {
          await this.#accepted(award);
          told.push({ deployId: award.job.view.deployId, line: describeAward(award, hostName, placements) });
        } else {
          declined = true;
          await this.#declined(award, { code: answer.code, detail: answer.detail });
        }
      }
    } catch (error) {
      this.#given.log.warn("award.unanswered", { hostId, jobs: awards.length, error: describeError(error) });
      for (const award of awards) await this.#answer(award, "no-answer");
    }
    return { told, declined };
  }

  /** The agent may be heard before its answer is: then the state is further already, and only the stage is added. */
  async #accepted(award: Award): Promise<void> {
    await this.#answer(award, "accepted");
    const endedAtMs = Date.now();
    await sql`
      update jobs set state = case when state = 'awarded' then 'accepted' else state end, updated_at = now(),
             stages = jsonb_build_array(jsonb_build_object(
               'name', 'auction', 'startedAtMs', extract(epoch from created_at) * 1000, 'endedAtMs', ${endedAtMs}::float8)) || stages
       where id = ${award.job.view.id} and epoch = ${award.epoch}
         and not stages @> '[{"name": "auction"}]'`.execute(this.#given.db);
  }

  async #declined(award: Award, refusal: Refusal): Promise<void> {
    const jobId = award.job.view.id;
    const declines = this.#declines.get(jobId) ?? new Map();
    declines.set(award.hostId, { refusal, untilMs: Date.now() + DECLINE_MEMORY_MS });
    this.#declines.set(jobId, declines);
    this.#given.log.info("award.declined", { jobId, hostId: award.hostId, ...refusal });
    await this.#answer(award, "declined");
    await sql`update jobs set state = case when desired = 'stop' then ${givenBack("stop")} else ${givenBack("run")} end,
                              host_id = null, lease_expires_at = null, updated_at = now()
               where id = ${jobId} and epoch = ${award.epoch} and state = 'awarded'`.execute(this.#given.db);
  }

  async #answer(award: Award, answer: "accepted" | "declined" | "no-answer"): Promise<void> {
    await this.#given.db
      .updateTable("decisions")
      .set({ answer })
      .where("id", "=", award.decisionId)
      .execute();
  }
}

function awardKey({ view, epoch }: Pick<StoredJob, "view" | "epoch">): string {
  return `${view.id} ${epoch}`;
}

function describeAward(award: Award, hostName: string, placements: readonly Placement[]): string {
  const placement = placements.find((one) => one.jobId === award.job.view.id);
  const bids = placement?.candidates.filter((one) => one.refusal === null) ?? [];
  const winner = bids.find((one) => one.hostId === award.hostId);
  const free =
    winner?.bid === undefined || winner.bid === null
      ? ""
      : `, ${formatBytes(winner.bid.memoryFreeBytes)} free`;
  return `${award.job.view.process}.${award.job.view.slot} goes to ${hostName} (best of ${bids.length} bid${bids.length === 1 ? "" : "s"}${free})`;
}
