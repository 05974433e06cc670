/** The jobs as a snapshot has them. */
import type { DeployId, HostId, JobId, ReleaseId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { JobState } from "@berth/shared/domain/job-state.ts";
import { DEFAULT_PARTITION_POLICY, PartitionPolicy } from "@berth/shared/domain/service-policy.ts";
import type { SleepLevel } from "@berth/shared/domain/sleep.ts";
import { type RawBuilder, sql, type Transaction } from "kysely";
import type { JobView } from "../core/views.ts";
import type { Tables } from "./tables.ts";

export interface StoredJob {
  readonly view: JobView;
  readonly serviceId: ServiceId;
  /** Set for the job of a task. */
  readonly taskId: string | null;
  readonly epoch: number;
  readonly observedSequence: number;
}

export type Unplaceable = ReadonlyMap<JobId, JobView["unplaceable"]>;

/** Services that are read; null: all. */
export type Only = readonly ServiceId[] | null;

/** @param column of the service's id */
export function isOneOf(column: string, only: Only): RawBuilder<unknown> {
  return only === null ? sql`true` : sql`${sql.ref(column)} = any(${only})`;
}

/** Of jobs by id, final ones too. */
export async function readEpochs(
  trx: Transaction<Tables>,
  ids: readonly string[],
): Promise<{ id: string; epoch: number; open: boolean }[]> {
  if (ids.length === 0) return [];
  const { rows } = await sql<{
    id: string;
    epoch: number;
    open: boolean;
  }>`select id, epoch, open from jobs where id = any(${ids})`.execute(trx);
  return rows;
}

interface JobRow {
  id: JobId;
  task_id: string | null;
  service_id: ServiceId;
  release_id: ReleaseId;
  deploy_id: DeployId;
  process: string;
  slot: number;
  partition: unknown;
  epoch: number;
  state: JobState;
  desired: "run" | "stop";
  rotation: "out" | "in" | "draining";
  rotation_since_ms: number;
  leaving: boolean;
  restart_asked: boolean;
  away: boolean;
  sleep_level: SleepLevel | null;
  sleep_epoch: number | null;
  woken_epoch: number | null;
  ready: boolean;
  ready_since_ms: number | null;
  host_id: HostId | null;
  observed_sequence: number;
  restarts_count: number;
  reason_code: string | null;
  reason: string | null;
  last_lines: string[];
  updated_at_ms: number;
}

export async function readJobs(
  trx: Transaction<Tables>,
  unplaceable: Unplaceable,
  only: Only,
): Promise<StoredJob[]> {
  const rows = await sql<JobRow>`
    select j.id, j.task_id, j.service_id, j.release_id, j.deploy_id, j.process, j.slot, j.spec->'partition' as partition, j.epoch, j.state,
           j.desired, j.rotation, (extract(epoch from j.rotation_since) * 1000)::float8 as rotation_since_ms,
           j.leaving, j.away, j.sleep_level, z.epoch as sleep_epoch,
           case when z.state in ('awake', 'waking') then z.epoch else z.epoch - 1 end as woken_epoch,
           coalesce(a.newest_at > j.created_at, false) as restart_asked,
           j.ready, (extract(epoch from j.ready_since) * 1000)::float8 as ready_since_ms, j.host_id, j.observed_sequence, j.restarts_count, j.reason_code, j.reason, j.last_lines,
           (extract(epoch from j.updated_at) * 1000)::float8 as updated_at_ms
      from jobs j
      left join sleeps z on z.service_id = j.service_id
      left join (select service_id, process, max(requested_at) as newest_at from api.restarts group by 1, 2) a
        on a.service_id = j.service_id and a.process = j.process
     where ${isOneOf("j.service_id", only)}
       and (j.open
            or j.told_at > now() - interval '10 minutes'
            or j.deploy_id in (select id from deploys where finished_at is null))
     order by j.created_at`.execute(trx);
  return rows.rows.map((row) => toStoredJob(row, unplaceable));
}

function toStoredJob(row: JobRow, unplaceable: Unplaceable): StoredJob {
  return {
    serviceId: row.service_id,
    taskId: row.task_id,
    epoch: row.epoch,
    observedSequence: row.observed_sequence,
    view: {
      id: row.id,
      releaseId: row.release_id,
      deployId: row.deploy_id,
      process: row.process,
      slot: row.slot,
      state: row.state,
      desired: row.desired,
      rotation: row.rotation,
      rotationSinceMs: row.rotation_since_ms,
      leaving: row.leaving,
      restartAsked: row.restart_asked,
      away: row.away,
      wokenEpoch: row.woken_epoch ?? 0,
      sleep:
        row.sleep_level === null || row.sleep_epoch === null
          ? null
          : { epoch: row.sleep_epoch, level: row.sleep_level },
      partition: row.partition === null ? DEFAULT_PARTITION_POLICY : PartitionPolicy.parse(row.partition),
      ready: row.ready,
      readySinceMs: row.ready_since_ms ?? 0,
      hostId: row.host_id,
      restartsCount: row.restarts_count,
      reasonCode: row.reason_code,
      reason: row.reason,
      lastLines: row.last_lines,
      updatedAtMs: row.updated_at_ms,
      unplaceable: unplaceable.get(row.id) ?? null,
    },
  };
}
