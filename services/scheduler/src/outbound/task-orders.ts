/**
 * Makes tasks of what is due: the instants of the crons of every release that serves, and the orders of people.
 *
 * Only the leader does it, fenced like all it writes; a cron's instant and an order have one task each, which the
 * record's unique keys hold.
 */
import type { ServiceId, TaskId } from "@berth/shared/domain/ids.ts";
import { type CronJob, ReleaseTasks, type TaskKind } from "@berth/shared/domain/tasks.ts";
import { latestInstantMs } from "@berth/shared/kit/cron.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { Kysely, Transaction } from "kysely";
import { sql } from "kysely";
import { planCron } from "../core/plan-cron.ts";
import { readRelease } from "./create-job.ts";
import type { Leadership } from "./leader.ts";
import type { Tables } from "./tables.ts";
import { createTask } from "./tasks.ts";

interface Given {
  readonly db: Kysely<Tables>;
  readonly leadership: Leadership;
  readonly crons: CronWatch;
  /** Jobs may wait for a host. */
  readonly wakeAuction: () => void;
}

/** An order that could not be taken by then is not taken any more: nobody waits for it. */
const ORDER_MINUTES = 10;
/** Where nothing has a cron they are looked for this often, and after every change that was told. */
const NONE_FOR_MS = 20_000;
const TASKS_KEPT_DAYS = 30;
const TASKS_KEPT_PER_SERVICE = 500;

/** Whether crons are worth looking for: in a pod that has none that is a look at every release that serves. */
export class CronWatch {
  #noneAtMs = Number.NEGATIVE_INFINITY;

  /** What serves may have changed. */
  readonly lookAgain = (): void => {
    this.#noneAtMs = Number.NEGATIVE_INFINITY;
  };

  get isDue(): boolean {
    return performance.now() - this.#noneAtMs >= NONE_FOR_MS;
  }

  note(cronsCount: number): void {
    this.#noneAtMs = cronsCount === 0 ? performance.now() : Number.NEGATIVE_INFINITY;
  }
}

export async function makeTasks(given: Given): Promise<void> {
  if (given.leadership.epoch === null) return;
  const made = (await takeOrders(given)) + (given.crons.isDue ? await takeInstants(given) : 0);
  if (made > 0) given.wakeAuction();
}

interface OrderRow {
  id: TaskId;
  kind: TaskKind;
  name: string | null;
  command: string;
  deadline_ms: number;
  release_id: string;
}

async function takeOrders({ db, leadership }: Given): Promise<number> {
  const orders = await sql<OrderRow>`
    select o.id, o.kind, o.name, o.command, o.deadline_ms, v.release_id
      from api.task_orders o join serving v on v.service_id = o.service_id
      join api.services s on s.id = o.service_id and s.deleted_at is null
     where o.cancelled_at is null and o.created_at > now() - ${ORDER_MINUTES} * interval '1 minute'
       and not exists (select 1 from tasks t where t.id = o.id)
     order by o.created_at limit 100`.execute(db);
  for (const { id, kind, name, command, deadline_ms: deadlineMs, release_id: releaseId } of orders.rows)
    await db.transaction().execute(async (trx) => {
      await leadership.fence(trx);
      const release = await readRelease(trx, releaseId);
      await createTask(trx, release, releaseId, { id, kind, name, command, deadlineMs, scheduledAt: null });
    });
  return orders.rows.length;
}

interface CronRow {
  readonly serviceId: ServiceId;
  readonly releaseId: string;
  readonly name: string;
  readonly job: CronJob;
  readonly sinceMs: number;
  readonly handledMs: number | null;
  readonly isRunning: boolean;
}

async function takeInstants(given: Given): Promise<number> {
  const nowMs = Date.now();
  let made = 0;
  const crons = await readCrons(given);
  given.crons.note(crons.length);
  for (const cron of crons) {
    const { schedule, timezone, overlap } = cron.job;
    const decision = planCron({ ...cron, overlap }, latestInstantMs(schedule, timezone, nowMs));
    if (decision.kind === "nothing") continue;
    made += 1;
    await given.db.transaction().execute(async (trx) => {
      await given.leadership.fence(trx);
      const scheduledAt = new Date(decision.instantMs);
      if (decision.kind === "skip") return skip(trx, cron, scheduledAt, decision.reason);
      const release = await readRelease(trx, cron.releaseId);
      const { command, deadlineMs } = cron.job;
      const id = newId("task");
      await createTask(trx, release, cron.releaseId, {
        id,
        kind: "cron",
        name: cron.name,
        command,
        deadlineMs,
        scheduledAt,
      });
    });
  }
  return made;
}

/** The crons of all releases that serve; one that is new, or has another schedule, counts from now on. */
async function readCrons({ db, leadership }: Given): Promise<CronRow[]> {
  const serving = await sql<{ service_id: ServiceId; release_id: string; tasks: unknown }>`
    select v.service_id, r.id as release_id, r.tasks
      from serving v join api.releases r on r.id = v.release_id
      join api.services s on s.id = v.service_id and s.deleted_at is null
     where r.tasks -> 'cron' <> '{}'::jsonb`.execute(db);
  const wanted = serving.rows.flatMap(({ service_id: serviceId, release_id: releaseId, tasks }) =>
    Object.entries(ReleaseTasks.parse(tasks).cron).map(([name, job]) => ({
      serviceId,
      releaseId,
      name,
      job,
    })),
  );
  const known = await readKnown(db);
  const keys = new Set(wanted.map(keyOf));
  const fresh = wanted.filter((cron) => known.get(keyOf(cron))?.schedule !== scheduleOf(cron.job));
  const gone = [...known.values()].filter((cron) => !keys.has(keyOf(cron)));
  if (fresh.length + gone.length > 0)
    await db.transaction().execute(async (trx) => {
      await leadership.fence(trx);
      for (const { serviceId, name } of gone)
        await sql`delete from crons where service_id = ${serviceId} and name = ${name}`.execute(trx);
      for (const { serviceId, name, job } of fresh)
        await sql`
          insert into crons (service_id, name, schedule) values (${serviceId}, ${name}, ${scheduleOf(job)})
          on conflict (service_id, name) do update set schedule = excluded.schedule, since = now()`.execute(
          trx,
        );
    });
  const counted = fresh.length > 0 ? await readKnown(db) : known;
  return wanted.flatMap((cron) => {
    const state = counted.get(keyOf(cron));
    return state === undefined ? [] : [{ ...state, ...cron }];
  });
}

interface Known {
  readonly serviceId: ServiceId;
  readonly name: string;
  readonly schedule: string;
  readonly sinceMs: number;
  readonly handledMs: number | null;
  readonly isRunning: boolean;
}

async function readKnown(db: Kysely<Tables>): Promise<ReadonlyMap<string, Known>> {
  const rows = await sql<Known>`
    select c.service_id as "serviceId", c.name, c.schedule, (extract(epoch from c.since) * 1000)::float8 as "sinceMs",
           (extract(epoch from max(t.scheduled_at)) * 1000)::float8 as "handledMs",
           coalesce(bool_or(t.finished_at is null and t.id is not null), false) as "isRunning"
      from crons c left join tasks t on t.service_id = c.service_id and t.kind = 'cron' and t.name = c.name
     group by c.service_id, c.name`.execute(db);
  return new Map(rows.rows.map((row) => [keyOf(row), row]));
}

function keyOf({ serviceId, name }: { readonly serviceId: ServiceId; readonly name: string }): string {
  return `${serviceId} ${name}`;
}

function scheduleOf({ schedule, timezone }: CronJob): string {
  return `${schedule} ${timezone}`;
}

async function skip(
  trx: Transaction<Tables>,
  cron: CronRow,
  scheduledAt: Date,
  reason: string,
): Promise<void> {
  const { command, deadlineMs } = cron.job;
  await sql`
    insert into tasks (id, org_id, environment_id, service_id, release_id, deploy_id, kind, name, number, command, deadline_ms,
                       scheduled_at, state, reason_code, reason, finished_at)
    select ${newId("task")}, s.org_id, s.environment_id, s.id, r.id, r.deploy_id, 'cron', ${cron.name},
           (select coalesce(max(number), 0) + 1 from tasks where service_id = s.id), ${command}, ${deadlineMs},
           ${scheduledAt}, 'skipped', 'overlap', ${reason}, now()
      from api.services s join api.releases r on r.id = ${cron.releaseId} where s.id = ${cron.serviceId}
    on conflict do nothing`.execute(trx);
}

/** The newest of each service stay, and of those none that is older than a month; open ones always. */
export async function trimTasks(db: Kysely<Tables>): Promise<void> {
  await sql`
    delete from tasks using (
      select id, row_number() over (partition by service_id order by number desc) as n from tasks) numbered
     where tasks.id = numbered.id and tasks.finished_at is not null
       and (numbered.n > ${TASKS_KEPT_PER_SERVICE}
            or (numbered.n > 1 and tasks.created_at < now() - ${TASKS_KEPT_DAYS} * interval '1 day'))`.execute(
    db,
  );
}
