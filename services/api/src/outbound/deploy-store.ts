/** Deploys as the customer sees them: composed from what git, builder, api, scheduler and router stored. */

import type { Stage } from "@berth/shared/domain/deploy-state.ts";
import { WAKE_LISTEN, WAKE_START } from "@berth/shared/domain/sleep.ts";
import { sql } from "kysely";
import type { OwnedStage, Timeline } from "../core/timeline.ts";
import { makeTimeline } from "../core/timeline.ts";
import type { Reply } from "../inbound/http/routes.ts";
import type { Db } from "./tables.ts";

export type Deploy = Reply<"cancelDeploy">["deploy"];

interface OverviewRow extends Omit<Deploy, "createdAt" | "finishedAt"> {
  readonly createdAt: Date;
  readonly finishedAt: Date | null;
  readonly superseded: boolean;
}

const DEPLOY_COLUMNS = sql`
  d.deploy_id as id, s.name as service, e.name as environment, o.name as org, d.state, d.final, d.cause, d.commit,
  d.release_version as release, d.build_id as "buildId", d.build_state as "buildState",
  d.reason_code as "reasonCode", d.reason, d.created_at as "createdAt", d.finished_at as "finishedAt",
  coalesce(c.reason_code = 'superseded', false) as superseded`;

const DEPLOY_TABLES = sql`
  scheduler.deploy_overview d
    join api.services s on s.id = d.service_id
    join api.environments e on e.id = s.environment_id
    join api.orgs o on o.id = s.org_id
    left join api.deploy_cancels c on c.deploy_id = d.deploy_id`;

function toDeploy(row: OverviewRow): Deploy {
  const { superseded, createdAt, finishedAt, ...rest } = row;
  const times = { createdAt: createdAt.toISOString(), finishedAt: finishedAt?.toISOString() ?? null };
  if (!superseded) return { ...rest, ...times };
  const reason = "a later push or a rollback of this service was released before this one's build ended";
  return { ...rest, ...times, state: "superseded", final: true, reasonCode: "superseded", reason };
}

export async function readDeploy(db: Db, deployId: string): Promise<Deploy | undefined> {
  const found = await sql<OverviewRow>`
    select ${DEPLOY_COLUMNS} from ${DEPLOY_TABLES} where d.deploy_id = ${deployId}
  `.execute(db);
  return found.rows[0] === undefined ? undefined : toDeploy(found.rows[0]);
}

export async function readDeploys(db: Db, serviceId: string, limit: number): Promise<Deploy[]> {
  const found = await sql<OverviewRow>`
    select ${DEPLOY_COLUMNS} from ${DEPLOY_TABLES}
    where d.service_id = ${serviceId} order by d.created_at desc limit ${limit}
  `.execute(db);
  return found.rows.map(toDeploy);
}

export interface FirstResponse {
  readonly status: number;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

export async function readFirstResponse(db: Db, deployId: string): Promise<FirstResponse | undefined> {
  const found = await sql<FirstResponse>`
    select status, started_at_ms::float8 as "startedAtMs", ended_at_ms::float8 as "endedAtMs"
    from router.first_responses where deploy_id = ${deployId}
  `.execute(db);
  return found.rows[0];
}

interface StagesRow {
  readonly owner: string;
  readonly prefix: string;
  readonly stages: Stage[] | null;
}

/** A job's later wakes are none of its deploy's. */
function isOfDeploy({ name }: Stage): boolean {
  return name !== WAKE_START && name !== WAKE_LISTEN;
}

/** Every service's stored stages of one deploy. A job's carry its process and slot in their names. */
async function readStages(db: Db, deployId: string): Promise<OwnedStage[]> {
  const found = await sql<StagesRow>`
    select 'git' as owner, '' as prefix, stages from git.pushes where deploy_id = ${deployId}
    union all select 'builder', '', stages from builder.builds where deploy_id = ${deployId}
    union all select 'api', '', stages from api.releases where deploy_id = ${deployId}
    union all select 'scheduler', '', stages from scheduler.deploys where id = ${deployId}
    union all (select 'agent', process || '.' || slot || ' ', stages from scheduler.jobs
               where deploy_id = ${deployId} and (task_id is null or process = 'release') order by created_at limit 50)
  `.execute(db);
  return found.rows.flatMap(({ owner, prefix, stages }) =>
    (stages ?? [])
      .filter(isOfDeploy)
      .map((stage) => ({ ...stage, owner, name: `${prefix}${stage.name}`.slice(0, 40) })),
  );
}

/** The wall time runs from the push's arrival to the first answer of the app, or to the end where there was none. */
export async function readTimeline(
  db: Db,
  deploy: Deploy,
  first: FirstResponse | undefined,
): Promise<Timeline> {
  const stages = await readStages(db, deploy.id);
  if (first !== undefined) {
    stages.push({
      name: "first-response",
      owner: "router",
      startedAtMs: first.startedAtMs,
      endedAtMs: first.endedAtMs,
    });
  }
  const starts = stages.filter((stage) => stage.owner === "git").map((stage) => stage.startedAtMs);
  const startMs = Math.min(Date.parse(deploy.createdAt), ...starts);
  const finishedMs = deploy.finishedAt === null ? Date.now() : Date.parse(deploy.finishedAt);
  return makeTimeline(stages, startMs, first?.endedAtMs ?? finishedMs);
}

/** What the scheduler said of the deploy when it began; null before that. */
export async function readPlan(db: Db, deployId: string): Promise<string | null> {
  const found = await sql<{ plan: string | null }>`
    select plan from scheduler.deploys where id = ${deployId}
  `.execute(db);
  return found.rows[0]?.plan ?? null;
}

export async function readTraceparent(db: Db, deployId: string): Promise<string | null> {
  const found = await sql<{ traceparent: string | null }>`
    select traceparent from scheduler.deploy_overview where deploy_id = ${deployId}
  `.execute(db);
  return found.rows[0]?.traceparent ?? null;
}

export async function readBuildLog(db: Db, deployId: string): Promise<string> {
  const found = await sql<{ log: string | null }>`
    select log from builder.builds where deploy_id = ${deployId}
  `.execute(db);
  return found.rows[0]?.log ?? "";
}
