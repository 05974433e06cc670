/**
 * The stored sleeps. Every change names the state and the epoch that it goes out from, so that of two who change a
 * sleep at once one does it, and the other finds that it is done.
 */
import { RouteTable } from "@berth/shared/contracts/route.ts";
import type { Stage } from "@berth/shared/domain/deploy-state.ts";
import type { HostId, JobId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { ColdStartStage, SleepCause, SleepLevel, SleepState } from "@berth/shared/domain/sleep.ts";
import type { Kysely, Transaction } from "kysely";
import { sql } from "kysely";
import { coldStartStages } from "../core/cold-start.ts";
import { AWAKE, type SleepView } from "../core/plan-sleep.ts";
import type { Step } from "../core/views.ts";
import { openJobs } from "./job-locks.ts";
import { isOneOf, type Only } from "./stored-jobs.ts";
import type { Tables } from "./tables.ts";

interface SleepRow {
  service_id: ServiceId;
  state: SleepState | null;
  epoch: number | null;
  level: SleepLevel | null;
  cause: SleepCause | null;
  state_since: Date | null;
  wanted: "sleep" | "wake" | null;
  order_level: SleepLevel | null;
  requested_at_ms: number | null;
}

/**
 * @param only of these services; null: of all
 * @returns services that ever slept, or are to
 */
export async function readSleeps(
  trx: Transaction<Tables>,
  only: Only,
): Promise<ReadonlyMap<ServiceId, SleepRow>> {
  const { rows } = await sql<SleepRow>`
    select coalesce(z.service_id, o.service_id) as service_id, z.state, z.epoch, z.level, z.cause, z.state_since,
           o.wanted, o.level as order_level, (extract(epoch from o.requested_at) * 1000)::float8 as requested_at_ms
      from (select * from sleeps where ${isOneOf("service_id", only)}) z
      full join (select o.* from api.sleep_orders o left join sleeps t on t.service_id = o.service_id
                  where ${isOneOf("o.service_id", only)} and (t.order_at is null or t.order_at < o.requested_at)) o
        on o.service_id = z.service_id`.execute(trx);
  return new Map(rows.map((row) => [row.service_id, row]));
}

/** @param heldEpoch the sleep that every live edge holds the service's requests for */
export function sleepView(
  row: SleepRow | undefined,
  heldEpoch: number | undefined,
): Omit<SleepView, "afterMs" | "idleLevel" | "quietSinceMs"> {
  if (row === undefined) return AWAKE;
  const epoch = row.epoch ?? AWAKE.epoch;
  return {
    state: row.state ?? AWAKE.state,
    epoch,
    level: row.level ?? AWAKE.level,
    cause: row.cause ?? AWAKE.cause,
    sinceMs: row.state_since?.getTime() ?? AWAKE.sinceMs,
    order:
      row.wanted === null
        ? null
        : { wanted: row.wanted, level: row.order_level ?? AWAKE.level, atMs: row.requested_at_ms ?? 0 },
    held: heldEpoch === epoch,
  };
}

/** Service → sleep, of a table that every live edge serves. */
export function heldServices(stored: unknown): [ServiceId, number][] {
  return RouteTable.shape.sites
    .parse(stored)
    .flatMap(({ serviceId, sleep }) => (sleep === undefined ? [] : [[serviceId, sleep.epoch]]));
}

export async function stepSleep(
  trx: Transaction<Tables>,
  serviceId: ServiceId,
  step: Extract<Step, { kind: "step-sleep" }>,
): Promise<readonly ColdStartStage[]> {
  const { from, to, level, cause, wokenBy } = step;
  await sql`insert into sleeps (service_id) values (${serviceId}) on conflict (service_id) do nothing`.execute(
    trx,
  );
  const changes = from.state !== to;
  const { rows } = await sql<{ woken_at: Date | null }>`
    update sleeps set state = ${to}, level = ${level}, cause = ${cause},
           epoch = epoch + ${from.state === "awake" && to === "falling" ? 1 : 0},
           state_since = case when ${changes} then clock_timestamp() else state_since end,
           woken_by = coalesce(${wokenBy}, woken_by),
           woken_at = case when ${wokenBy}::text is null then woken_at else clock_timestamp() end,
           last_cold_start_ms = case when state = 'waking' and ${to} = 'awake'
             then extract(epoch from clock_timestamp() - woken_at) * 1000 else last_cold_start_ms end,
           order_at = coalesce((select requested_at from api.sleep_orders o where o.service_id = sleeps.service_id
             and (extract(epoch from o.requested_at) * 1000)::float8 = ${step.orderAtMs}), order_at)
     where service_id = ${serviceId} and state = ${from.state} and epoch = ${from.epoch}
    returning woken_at`.execute(trx);
  const [row] = rows;
  if (row === undefined) return [];
  if (to === "asleep") await layDown(trx, serviceId, level);
  else if (changes) await raise(trx, serviceId);
  if (from.state !== "waking" || to !== "awake" || row.woken_at === null) return [];
  return await keepColdStart(trx, serviceId, row.woken_at.getTime());
}

async function keepColdStart(
  trx: Transaction<Tables>,
  serviceId: ServiceId,
  wokenAtMs: number,
): Promise<readonly ColdStartStage[]> {
  const { rows } = await sql<{ stages: Stage[]; now_ms: number }>`
    select stages, (extract(epoch from clock_timestamp()) * 1000)::float8 as now_ms
      from jobs where service_id = ${serviceId} and ready and state = 'running'`.execute(trx);
  const stages = coldStartStages(
    wokenAtMs,
    rows.map((row) => row.stages),
    rows[0]?.now_ms ?? wokenAtMs,
  );
  await sql`update sleeps set last_cold_start = ${JSON.stringify(stages)}::jsonb where service_id = ${serviceId}`.execute(
    trx,
  );
  return stages;
}

/** Ready again is what its host says of it after the sleep: not what it said before, and not while it stops. */
async function layDown(trx: Transaction<Tables>, serviceId: ServiceId, level: SleepLevel): Promise<void> {
  await sql`
    with ${openJobs(sql`service_id = ${serviceId} and task_id is null and desired = 'run' and open
                    and sleep_level is distinct from ${level}`)}
    update jobs j set sleep_level = ${level}, ready = false, updated_at = now() from open where j.id = open.id`.execute(
    trx,
  );
}

export interface WokenJob {
  readonly jobId: JobId;
  readonly epoch: number;
  readonly hostId: HostId | null;
}

async function raise(trx: Transaction<Tables>, serviceId: ServiceId): Promise<WokenJob[]> {
  const { rows } = await sql<WokenJob>`
    with ${openJobs(sql`service_id = ${serviceId} and sleep_level is not null and open`)}
    update jobs j set sleep_level = null, updated_at = now() from open where j.id = open.id
    returning j.id as "jobId", j.epoch, j.host_id as "hostId"`.execute(trx);
  return rows;
}

export interface Woken {
  readonly outcome: "woken" | "ended" | "other";
  readonly jobs: readonly WokenJob[];
}

/** Ends the sleep of that epoch when it lasts still. Any scheduler may do it: the row decides, not the leader. */
export function wakeService(
  db: Kysely<Tables>,
  serviceId: ServiceId,
  epoch: number,
  hostId: HostId,
): Promise<Woken> {
  return db.transaction().execute(async (trx) => {
    const ended = await sql`
      update sleeps set state = case when state = 'falling' then 'awake' else 'waking' end, state_since = clock_timestamp(),
             woken_by = ${hostId}, woken_at = clock_timestamp()
       where service_id = ${serviceId} and epoch = ${epoch} and state in ('falling', 'asleep')
      returning service_id`.execute(trx);
    if (ended.rows.length > 0) return { outcome: "woken", jobs: await raise(trx, serviceId) };
    const now = await sql<{
      epoch: number;
    }>`select epoch from sleeps where service_id = ${serviceId}`.execute(trx);
    return { outcome: now.rows[0]?.epoch === epoch ? "ended" : "other", jobs: [] };
  });
}
