/**
 * Stores what auctions decide and what hosts answer, many at a time: one statement for a whole batch.
 *
 * What must stay true: an award is stored only for a job that still waits at the same epoch and for a host that still
 * takes work; statements that touch many jobs lock them in the order of their ids.
 */
import { ACCEPTED_SEQUENCE } from "@berth/shared/contracts/job.ts";
import type { HostId, JobId, ServiceId } from "@berth/shared/domain/ids.ts";
import { PREPARED, UNSYNCED } from "@berth/shared/kit/database.ts";
import type { Kysely, RawBuilder } from "kysely";
import { sql } from "kysely";
import type { Placement } from "../core/place-batch.ts";
import { jsonLines } from "./json-lines.ts";
import { StaleLeader } from "./leader.ts";
import type { Tables } from "./tables.ts";

export interface Decided {
  readonly decisionId: string;
  readonly serviceId: ServiceId;
  /** The job's epoch as it was read; the award's is one more. */
  readonly epoch: number;
  readonly placement: Placement;
}

/**
 * One statement, which is its own transaction.
 * @param held `Leadership.held`
 * @returns jobs whose award is stored: the others changed meanwhile, or their host takes no work any more
 * @throws StaleLeader when another scheduler leads by now: then nothing is stored
 */
export async function storeDecisions(
  db: Kysely<Tables>,
  held: RawBuilder<unknown>,
  decided: readonly Decided[],
  leaseUntil: Date,
): Promise<ReadonlySet<JobId>> {
  const placed = decided.flatMap(({ placement, epoch }) =>
    placement.outcome === "placed" ? [{ id: placement.jobId, hostId: placement.hostId, epoch }] : [],
  );
  const hosts = [...new Set(placed.map(({ hostId }) => hostId))];
  const ids = placed.map(({ id }) => id);
  const { rows } = await sql<{ leads: boolean; taken: JobId[] }>`${PREPARED}
    with held as materialized (${held}
    ), open as materialized (
      select id from jobs where id = any(${ids}) and exists (select from held) order by id for update
    ), taking as (
      select id from api.hosts where id = any(${hosts}) and removed_at is null and not cordoned and not draining
    ), taken as (
      update jobs j set state = 'awarded', epoch = w.epoch + 1, host_id = w.host_id, observed_sequence = -1,
             lease_expires_at = ${leaseUntil}, updated_at = now()
        from unnest(${ids}::text[], ${placed.map(({ hostId }) => hostId)}::text[],
                    ${placed.map(({ epoch }) => epoch)}::int[]) as w(id, host_id, epoch)
             join taking on taking.id = w.host_id
       -- All rows are locked before the first one changes.
       where (select count(*) from open) > 0
         and j.id = w.id and j.state = 'requested' and j.desired = 'run' and j.epoch = w.epoch
      returning j.id
    ), told as (
      insert into decisions (id, job_id, service_id, epoch, outcome, winner_host_id, candidates, common_refusal)
      select n.id, n.job_id, n.service_id, n.epoch, n.outcome, n.winner, n.candidates, n.common
        from ${decisionRows(decided)}
       where n.outcome = 'unplaceable' and exists (select from held)
          or exists (select from taken where taken.id = n.job_id)
    )
    select exists (select from held) as leads, array(select id from taken) as taken`.execute(db);
  if (rows[0]?.leads !== true) throw new StaleLeader("another scheduler leads");
  return new Set(rows[0].taken);
}

function decisionRows(decided: readonly Decided[]): RawBuilder<unknown> {
  const winner = ({ placement }: Decided): HostId | null =>
    placement.outcome === "placed" ? placement.hostId : null;
  const common = ({ placement }: Decided): string | null =>
    placement.outcome === "placed" ? null : placement.commonRefusal;
  return sql`rows from (unnest(${decided.map(({ decisionId }) => decisionId)}::text[],
                               ${decided.map(({ placement }) => placement.jobId)}::text[],
                               ${decided.map(({ serviceId }) => serviceId)}::text[],
                               ${decided.map(({ epoch }) => epoch + 1)}::int[],
                               ${decided.map(({ placement }) => placement.outcome)}::text[],
                               ${decided.map(winner)}::text[], ${decided.map(common)}::text[]),
                        string_to_table(${jsonLines(decided.map(({ placement }) => placement.candidates))}, E'\n'))
             as n(id, job_id, service_id, epoch, outcome, winner, common, candidates)`;
}

export interface Answered {
  readonly decisionId: string;
  readonly jobId: JobId;
  readonly epoch: number;
  readonly answer: "accepted" | "declined" | "no-answer";
  readonly atMs: number;
}

/**
 * An agent may be heard before its answer is: then the state is further already, and only the stage is added. What was
 * declined is auctioned again, or is over when nobody wants it any more. Silence changes nothing of the job. An acceptance
 * is the job's first observation as well, so that the host's lists, which repeat it, change nothing. Nobody waits for the
 * disk: an answer that a crash takes was never given, so that the award is sent again.
 */
export async function storeAnswers(db: Kysely<Tables>, answered: readonly Answered[]): Promise<void> {
  // An acceptance is read off the job.
  const told = answered.some(({ answer }) => answer !== "accepted")
    ? sql`, told as (
      update decisions d set answer = s.answer from said s
       where d.job_id = s.job_id and d.id = s.decision_id and s.answer <> 'accepted'
    )`
    : sql``;
  await sql`${PREPARED}
    with said as materialized (
      select * from unnest(${answered.map(({ decisionId }) => decisionId)}::text[],
                           ${answered.map(({ jobId }) => jobId)}::text[],
                           ${answered.map(({ epoch }) => epoch)}::int[],
                           ${answered.map(({ answer }) => answer)}::text[],
                           ${answered.map(({ atMs }) => atMs)}::float8[]) as s(decision_id, job_id, epoch, answer, at_ms)
    ), open as materialized (
      select id from jobs, ${UNSYNCED} where id = any(${answered.map(({ jobId }) => jobId)}) order by id for update of jobs
    )${told}
    update jobs j set
           state = case when j.state <> 'awarded' then j.state
                        when s.answer = 'accepted' then 'accepted'
                        when j.desired = 'stop' then 'finished' else 'requested' end,
           host_id = case when s.answer = 'declined' then null else j.host_id end,
           lease_expires_at = case when s.answer = 'declined' then null else j.lease_expires_at end,
           observed_sequence = case s.answer when 'accepted' then greatest(j.observed_sequence, ${ACCEPTED_SEQUENCE}) else j.observed_sequence end,
           stages = case when s.answer = 'declined' then j.stages else
             jsonb_build_array(jsonb_build_object('name', 'auction', 'endedAtMs', s.at_ms,
               'startedAtMs', extract(epoch from j.created_at) * 1000)) || j.stages end,
           updated_at = now()
      from said s
     where (select count(*) from open) > 0 and j.id = s.job_id and j.epoch = s.epoch
       and case s.answer when 'accepted' then not j.stages @> '[{"name": "auction"}]'
                         when 'declined' then j.state = 'awarded' else false end`.execute(db);
}
