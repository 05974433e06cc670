/** What runs and why it runs where it does, read from the scheduler's tables. */
import type { AutoscaleState } from "@berth/shared/contracts/http/services.ts";
import { HostState } from "@berth/shared/domain/placement.ts";
import { sql } from "kysely";
import type { Reply } from "../inbound/http/routes.ts";
import type { Db } from "./tables.ts";

type Instance = Reply<"serviceStatus">["instances"][number];
type Decision = Reply<"whyService">["decisions"][number];
type Build = Reply<"showBuild">;

/** Everything that is not over, and what should run but failed. */
export async function readInstances(db: Db, serviceId: string): Promise<Instance[]> {
  const found = await sql<Instance>`
    select j.id as "jobId", j.process, j.slot, coalesce(r.version, 0) as release, j.state, j.ready,
           j.rotation = 'in' as "inRotation", h.name as host, j.address, j.restarts_count as "restartsCount", j.reason,
           (extract(epoch from j.updated_at) * 1000)::float8 as "sinceMs"
    from scheduler.jobs j
      left join api.releases r on r.id = j.release_id
      left join api.hosts h on h.id = j.host_id
    where j.service_id = ${serviceId} and j.task_id is null and j.state <> 'finished' and (j.desired = 'run' or j.state not in ('failed', 'lost'))
    order by j.process = 'web' desc, j.process, release desc, j.slot limit 500
  `.execute(db);
  return found.rows;
}

type StoredCandidate = Omit<Decision["candidates"][number], "host">;
interface DecisionRow extends Omit<Decision, "candidates"> {
  readonly candidates: StoredCandidate[];
  readonly imageDigest: string | null;
}

/** Decisions, newest first; that a host took its job is read off the job. A host's bid shows only what concerns this service: the rest is other customers'. */
export async function readDecisions(db: Db, serviceId: string, limit: number): Promise<Decision[]> {
  const found = await sql<DecisionRow>`
    select d.id, d.job_id as "jobId", j.process, j.slot, d.epoch, coalesce(r.version, 0) as release,
           (extract(epoch from d.decided_at) * 1000)::float8 as "decidedAtMs", d.outcome, w.name as winner,
           case when d.outcome = 'placed' and j.epoch = d.epoch and j.observed_sequence >= 0 then 'accepted' else d.answer end as answer,
           (j.epoch = d.epoch and j.state not in ('finished', 'failed', 'lost') and d.outcome = 'placed') as current,
           d.candidates::json as candidates, d.common_refusal as "commonRefusal", r.image_digest as "imageDigest"
    from scheduler.decisions d
      join scheduler.jobs j on j.id = d.job_id
      left join api.releases r on r.id = j.release_id
      left join api.hosts w on w.id = d.winner_host_id
    where d.service_id = ${serviceId} order by d.decided_at desc, d.id desc limit ${limit}
  `.execute(db);
  const names = await readHostNames(db);
  return found.rows.map(({ imageDigest, candidates, ...decision }) => ({
    ...decision,
    candidates: candidates.map((candidate) => ({
      hostId: candidate.hostId,
      host: names.get(candidate.hostId) ?? candidate.hostId,
      bid: ownPart(candidate.bid ?? null, serviceId, imageDigest),
      score: candidate.score ?? null,
      terms: candidate.terms ?? null,
      refusal: candidate.refusal ?? null,
    })),
  }));
}

/** @returns null also for a bid that was stored in a form of long ago */
function ownPart(
  stored: StoredCandidate["bid"],
  serviceId: string,
  imageDigest: string | null,
): StoredCandidate["bid"] {
  const parsed = HostState.safeParse(stored);
  if (!parsed.success) return null;
  const bid = parsed.data;
  const own = bid.instancesByService[serviceId];
  return {
    ...bid,
    ...("volumes" in bid ? { volumes: [] } : {}),
    instancesByService: own === undefined ? {} : { [serviceId]: own },
    imageDigests: bid.imageDigests.filter((digest) => digest === imageDigest),
  };
}

async function readHostNames(db: Db): Promise<Map<string, string>> {
  const rows = await db.selectFrom("hosts").select(["id", "name"]).execute();
  return new Map(rows.map((row) => [row.id, row.name]));
}

export async function readBuild(db: Db, buildId: string): Promise<Build | undefined> {
  const found = await sql<
    Omit<Build, "createdAt" | "finishedAt"> & { createdAt: Date; finishedAt: Date | null }
  >`
    select id, deploy_id as "deployId", state, commit, reason_code as "reasonCode", reason, coalesce(log, '') as log,
           created_at as "createdAt", finished_at as "finishedAt"
    from builder.builds where id = ${buildId}
  `.execute(db);
  const row = found.rows[0];
  if (row === undefined) return undefined;
  return {
    ...row,
    createdAt: row.createdAt.toISOString(),
    finishedAt: row.finishedAt?.toISOString() ?? null,
  };
}

/** Lost instances that hold their slot: by the service's policy nobody takes it yet. */
export async function readWaiting(db: Db, serviceId: string): Promise<Reply<"whyService">["waiting"]> {
  const found = await sql<NonNullable<Reply<"whyService">["waiting"]>[number]>`
    select j.process, j.slot, coalesce(h.name, j.host_id) as host, coalesce(j.reason, 'its host went silent') as reason
      from scheduler.jobs j left join api.hosts h on h.id = j.host_id
     where j.service_id = ${serviceId} and j.task_id is null and j.state = 'lost' and j.desired = 'run' and not j.away
     order by j.process, j.slot limit 200`.execute(db);
  return found.rows;
}

/** Counts that follow their load; those that were not looked at yet are left out. */
export async function readAutoscales(db: Db, serviceId: string): Promise<AutoscaleState[]> {
  const found = await sql<AutoscaleState>`
    select a.process, a.scale, (p.autoscale->>'min')::int as min, (p.autoscale->>'max')::int as max, a.reason,
           (extract(epoch from a.changed_at) * 1000)::float8 as "changedAtMs"
      from scheduler.autoscales a join api.processes p on p.service_id = a.service_id and p.process = a.process
     where a.service_id = ${serviceId} and p.autoscale is not null and p.scale > 0 order by a.process`.execute(
    db,
  );
  return found.rows;
}
