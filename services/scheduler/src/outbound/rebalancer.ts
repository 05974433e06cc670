/**
 * Carries out rebalances: those that operators ordered, and one by itself after a host came to take work. What it
 * decides is `core/steer-moves.ts`; here are the record and the bids.
 */
import type { HostId, JobId } from "@berth/shared/domain/ids.ts";
import type { Refusal } from "@berth/shared/domain/placement.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { Kysely, Transaction } from "kysely";
import { sql } from "kysely";
import { MAIN_POD, WEIGHTS } from "../core/place-pods.ts";
import { type Move, planMoves } from "../core/plan-moves.ts";
import { type MoveStep, movableJobs, type OpenMove, steerMoves } from "../core/steer-moves.ts";
import { readLots } from "./auction-view.ts";
import { readBoard } from "./board-reader.ts";
import type { HostRegistry } from "./host-registry.ts";
import { lockJobs } from "./job-locks.ts";
import type { Leadership } from "./leader.ts";
import type { Snapshot } from "./snapshot.ts";
import type { Tables } from "./tables.ts";

export interface RebalanceSettings {
  readonly mode: "off" | "auto";
  readonly movesPerHour: number;
  readonly leastGain: number;
  readonly settleMs: number;
}

interface Given {
  readonly db: Kysely<Tables>;
  readonly log: Log;
  readonly hosts: HostRegistry;
  readonly leadership: Pick<Leadership, "fence">;
  readonly settings: RebalanceSettings;
}

const MOVE_DEADLINE_MS = 180_000;
/** For this long only the planned host is offered the job; then whoever is best. */
const PLANNED_HOST_MS = 20_000;
const LOOK_EVERY_MS = 2000;

export class Rebalancer {
  readonly #given: Given;
  #open: OpenMove | null = null;
  #lookedAtMs = 0;

  constructor(given: Given) {
    this.#given = given;
  }

  /** Hosts that are not offered a job because a move goes to another one. */
  refusalsFor(
    job: Pick<OpenMove, "serviceId" | "process" | "slot">,
    hosts: readonly { readonly id: HostId }[],
  ): [HostId, Refusal][] {
    const open = this.#open;
    const isIt = open?.serviceId === job.serviceId && open.process === job.process && open.slot === job.slot;
    if (!isIt || Date.now() > open.startedAtMs + PLANNED_HOST_MS) return [];
    const detail = "a rebalance moves this instance to another host";
    return hosts.filter(({ id }) => id !== open.toHostId).map(({ id }) => [id, { code: "declined", detail }]);
  }

  /** @returns `decided` when the next round must see what was; `needs-all` when it is to read everything */
  async run(snapshot: Snapshot): Promise<"nothing" | "decided" | "needs-all"> {
    const nowMs = Date.now();
    if (this.#open === null && nowMs < this.#lookedAtMs + LOOK_EVERY_MS) return "nothing";
    this.#lookedAtMs = nowMs;
    const { db, settings } = this.#given;
    await noteReadyHosts(db);
    this.#open = await readOpenMove(db);
    const running = await readRunning(db, settings);
    if (this.#open === null && running === null) return "nothing";
    if (!snapshot.isWhole) {
      // What is at rest is what may move.
      this.#lookedAtMs = 0;
      return "needs-all";
    }
    const moves = running === null ? [] : await this.#planWhenAsked(snapshot, 1);
    const view = {
      open: this.#open,
      startedLastHour: await countStarted(db),
      services: snapshot.services,
    };
    const budget = { movesPerHour: settings.movesPerHour, moveDeadlineMs: MOVE_DEADLINE_MS };
    const step = steerMoves(view, budget, nowMs, () => moves);
    if (step.kind === "wait") return "nothing";
    await db.transaction().execute(async (trx) => {
      await this.#given.leadership.fence(trx);
      await applyMoveStep(trx, step, running, this.#open);
    });
    this.#given.log.info(`rebalance.${step.kind}`, { rebalance: running, ...step });
    this.#open = await readOpenMove(db);
    return step.kind === "finish" ? "nothing" : "decided";
  }

  #planWhenAsked(snapshot: Snapshot, mostMoves: number): Promise<Move[]> {
    return this.#open === null ? this.plan(snapshot, mostMoves) : Promise.resolve([]);
  }

  /** The best moves of every pod now. */
  async plan(snapshot: Snapshot, mostMoves: number): Promise<Move[]> {
    const { db, hosts, settings } = this.#given;
    const lots = await readLots(
      db,
      snapshot.jobs.map(({ view }) => view.id),
    );
    const jobs = movableJobs(snapshot.services, lots);
    const [board, bids] = await Promise.all([readBoard(db), hosts.bids(snapshot.hosts)]);
    const podOfHost = (id: HostId) => board.pods.get(id) ?? MAIN_POD;
    const policies = new Map(snapshot.hosts.map((host) => [host.id, host.policy]));
    return [...new Set(board.pods.values())]
      .sort()
      .flatMap((pod) =>
        planMoves(
          {
            jobs: jobs.filter((job) => podOfHost(job.hostId) === pod),
            hosts: bids.states.filter((host) => podOfHost(host.hostId) === pod),
            policies,
            weights: WEIGHTS[board.strategies.get(pod) ?? "spread"],
          },
          { leastGain: settings.leastGain, mostMoves },
        ),
      )
      .slice(0, mostMoves);
  }
}

/** Since when each host takes work. A host that was lost and is back is ready anew; one that was suspect is not. */
export async function noteReadyHosts(db: Kysely<Tables>): Promise<void> {
  await sql`
    with changed as materialized (
      select s.host_id, s.takes_work_since is null as takes
        from hosts_seen s join api.hosts h on h.id = s.host_id
       where (not h.cordoned and not h.draining and h.removed_at is null and s.state <> 'lost') <> (s.takes_work_since is not null)
       order by s.host_id for update of s
    )
    update hosts_seen s set takes_work_since = case when c.takes then now() end
      from changed c where c.host_id = s.host_id`.execute(db);
}

async function readOpenMove(db: Kysely<Tables>): Promise<OpenMove | null> {
  const rows = await sql<OpenMove>`
    select job_id as "jobId", service_id as "serviceId", process, slot, to_host_id as "toHostId",
           extract(epoch from started_at)::float8 * 1000 as "startedAtMs" from moves where state = 'moving'`.execute(
    db,
  );
  return rows.rows[0] ?? null;
}

async function countStarted(db: Kysely<Tables>): Promise<number> {
  const rows = await sql<{
    count: number;
  }>`select count(*)::int as count from moves where started_at > now() - interval '1 hour'`.execute(db);
  return rows.rows[0]?.count ?? 0;
}

/** The rebalance that runs; when none does, the next that was ordered, or that a host's arrival asks for. */
async function readRunning(db: Kysely<Tables>, settings: RebalanceSettings): Promise<string | null> {
  const running = await sql<{
    id: string;
  }>`select id from rebalances where state = 'running' order by started_at limit 1`.execute(db);
  if (running.rows[0] !== undefined) return running.rows[0].id;
  const begun = await sql<{ id: string }>`
    insert into rebalances (id, cause)
    select id, 'requested' from api.rebalances r where not exists (select 1 from rebalances b where b.id = r.id)
     order by created_at limit 1 on conflict (id) do nothing returning id`.execute(db);
  if (begun.rows[0] !== undefined) return begun.rows[0].id;
  if (settings.mode === "off") return null;
  const ready = await sql<{ id: string }>`
    insert into rebalances (id, cause)
    select ${newId("rebalance")}, 'host-ready' where exists (
      select 1 from hosts_seen where takes_work_since < now() - ${settings.settleMs} * interval '1 millisecond'
         and takes_work_since > coalesce((select max(started_at) - ${settings.settleMs} * interval '1 millisecond' from rebalances), '-infinity'))
    returning id`.execute(db);
  return ready.rows[0]?.id ?? null;
}

export async function applyMoveStep(
  trx: Transaction<Tables>,
  step: MoveStep,
  rebalanceId: string | null,
  open: OpenMove | null,
): Promise<void> {
  switch (step.kind) {
    case "wait":
      return;
    case "finish":
      await sql`update rebalances set state = 'finished', reason = ${step.reason}, finished_at = now() where id = ${rebalanceId}`.execute(
        trx,
      );
      return;
    case "start-move":
      return startMove(trx, step.move, rebalanceId);
    case "end-move":
      return endMove(trx, "done");
    case "take-back-move":
      return takeBackMove(trx, step.successors, open);
  }
}

/** The job may have changed since the plan: then nothing starts, and the next plan sees it. */
async function startMove(trx: Transaction<Tables>, move: Move, rebalanceId: string | null): Promise<void> {
  const taken = await sql`
    update jobs set leaving = true, updated_at = now()
     where id = ${move.jobId} and host_id = ${move.fromHostId} and state = 'running' and ready and desired = 'run' and not leaving and not away
    returning id`.execute(trx);
  if (taken.rows.length === 0) return;
  await sql`
    insert into moves (rebalance_id, service_id, process, slot, job_id, from_host_id, to_host_id, gain, reason)
    values (${rebalanceId}, ${move.serviceId}, ${move.process}, ${move.slot}, ${move.jobId}, ${move.fromHostId}, ${move.toHostId}, ${move.gain}, ${move.reason})`.execute(
    trx,
  );
  await sql`update rebalances set moves_count = moves_count + 1 where id = ${rebalanceId}`.execute(trx);
}

async function endMove(trx: Transaction<Tables>, state: "done" | "given-up"): Promise<void> {
  await sql`update moves set state = ${state}, ended_at = now() where state = 'moving'`.execute(trx);
}

/** What did not come about would be planned again: the rebalance ends by it. */
async function takeBackMove(
  trx: Transaction<Tables>,
  successors: readonly JobId[],
  open: OpenMove | null,
): Promise<void> {
  await lockJobs(trx, [...successors, ...(open === null ? [] : [open.jobId])]);
  await sql`
    update jobs set desired = 'stop', rotation = 'out', ready = false, updated_at = now(),
           state = case when state = 'requested' then 'finished' else state end
     where id = any(${successors})`.execute(trx);
  await sql`update jobs set leaving = false, updated_at = now() where id = ${open?.jobId ?? ""} and desired = 'run'`.execute(
    trx,
  );
  await endMove(trx, "given-up");
  await sql`update rebalances set state = 'finished', reason = 'a move did not come about', finished_at = now() where state = 'running'`.execute(
    trx,
  );
}
