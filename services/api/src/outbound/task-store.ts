/** Tasks as the customer sees them: the orders of the api, and what the scheduler made of them and by itself. */
import type { Task } from "@berth/shared/contracts/http/tasks.ts";
import { ReleaseTasks, type TaskKind } from "@berth/shared/domain/tasks.ts";
import { sql } from "kysely";
import type { Db, Trx } from "./tables.ts";

const TASKS = sql`
  select t.id, t.kind, t.name, t.kind || '.' || t.number as instance, t.state, t.command, r.version as release, h.name as host,
         (extract(epoch from t.scheduled_at) * 1000)::float8 as "scheduledAtMs",
         (extract(epoch from t.created_at) * 1000)::float8 as "createdAtMs",
         (extract(epoch from t.finished_at) * 1000)::float8 as "finishedAtMs",
         t.exit_code as "exitCode", t.reason_code as "reasonCode", t.reason, t.last_lines as "lastLines"
    from scheduler.tasks t
    left join api.releases r on r.id = t.release_id
    left join scheduler.jobs j on j.id = t.job_id
    left join api.hosts h on h.id = j.host_id`;

/** Orders that the scheduler has not taken up yet. */
const ORDERS = sql`
  select o.id, o.kind, o.name, null as instance, case when o.cancelled_at is null then 'waiting' else 'cancelled' end as state,
         o.command, null::int as release, null as host, null::float8 as "scheduledAtMs",
         (extract(epoch from o.created_at) * 1000)::float8 as "createdAtMs",
         (extract(epoch from o.cancelled_at) * 1000)::float8 as "finishedAtMs",
         null::int as "exitCode", null as "reasonCode", null as reason, '[]'::jsonb as "lastLines"
    from api.task_orders o`;

export async function readTask(db: Db | Trx, serviceId: string, taskId: string): Promise<Task | undefined> {
  const made = await sql<Task>`${TASKS} where t.service_id = ${serviceId} and t.id = ${taskId}`.execute(db);
  if (made.rows[0] !== undefined) return made.rows[0];
  const ordered = await sql<Task>`${ORDERS} where o.service_id = ${serviceId} and o.id = ${taskId}`.execute(
    db,
  );
  return ordered.rows[0];
}

export async function readTasks(
  db: Db,
  serviceId: string,
  wanted: {
    readonly limit: number;
    readonly kind?: TaskKind | undefined;
    readonly name?: string | undefined;
  },
): Promise<Task[]> {
  const { limit, kind = null, name = null } = wanted;
  const found = await sql<Task>`
    ${TASKS} where t.service_id = ${serviceId} and (${kind}::text is null or t.kind = ${kind})
       and (${name}::text is null or t.name = ${name})
     order by t.number desc limit ${limit}`.execute(db);
  return found.rows;
}

/** The newest run of each cron. */
export async function readLastRuns(db: Db, serviceId: string): Promise<ReadonlyMap<string, Task>> {
  const found = await sql<Task>`
    ${TASKS} where t.id in (
      select distinct on (name) id from scheduler.tasks
       where service_id = ${serviceId} and kind = 'cron' order by name, number desc)`.execute(db);
  return new Map(found.rows.map((task) => [task.name ?? "", task]));
}

export interface ServingTasks {
  readonly release: number;
  readonly tasks: ReleaseTasks;
}

/** @returns undefined while no release serves */
export async function readServingTasks(db: Db | Trx, serviceId: string): Promise<ServingTasks | undefined> {
  const found = await sql<{ release: number; tasks: unknown }>`
    select r.version as release, r.tasks
      from scheduler.serving v join api.releases r on r.id = v.release_id where v.service_id = ${serviceId}`.execute(
    db,
  );
  const row = found.rows[0];
  return row === undefined ? undefined : { release: row.release, tasks: ReleaseTasks.parse(row.tasks) };
}
