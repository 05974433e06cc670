/** Tasks in the record: made with their job in one transaction, read with it, ended by what became of it. */
import { ProcessTable } from "@berth/shared/contracts/build.ts";
import { JobSpec } from "@berth/shared/contracts/job.ts";
import type { DeployId, ServiceId, TaskId } from "@berth/shared/domain/ids.ts";
import {
  DEFAULT_PARTITION_POLICY,
  ServicePolicy,
  STOP_GRACE_MS,
} from "@berth/shared/domain/service-policy.ts";
import { RELEASE_PROCESS, ReleaseTasks, type TaskKind, type TaskState } from "@berth/shared/domain/tasks.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { Transaction } from "kysely";
import { sql } from "kysely";
import type { JobView, ReleaseView, Step, TaskView } from "../core/views.ts";
import { commonSpec, type ReleaseRow, readRelease, resourcesOf, settingsOf } from "./create-job.ts";
import type { Progress } from "./steps.ts";
import type { Tables } from "./tables.ts";

type Trx = Transaction<Tables>;

interface TaskRow {
  id: TaskId;
  service_id: ServiceId;
  deploy_id: DeployId;
  kind: TaskKind;
  state: TaskState;
  reason_code: string | null;
  reason: string | null;
  last_lines: string[];
  job_id: string | null;
  deadline_ms: number;
  created_at: Date;
  finished_at: Date | null;
  cancelled: boolean;
}

/** Open tasks by service, and the release phases of open deploys. */
export async function readTasks(
  trx: Trx,
  jobs: readonly { readonly view: JobView }[],
): Promise<ReadonlyMap<ServiceId, TaskView[]>> {
  const rows = await sql<TaskRow>`
    select t.id, t.service_id, t.deploy_id, t.kind, t.state, t.reason_code, t.reason, t.last_lines, t.job_id, t.deadline_ms,
           t.created_at, t.finished_at, coalesce(o.cancelled_at is not null, false) as cancelled
      from tasks t left join api.task_orders o on o.id = t.id
     where t.finished_at is null
        or (t.kind = 'release' and t.deploy_id in (select id from deploys where finished_at is null))
     order by t.created_at`.execute(trx);
  if (rows.rows.length === 0) return new Map();
  const byId = new Map<string, JobView>(jobs.map(({ view }) => [view.id, view]));
  return Map.groupBy(rows.rows, (row) => row.service_id)
    .entries()
    .reduce(
      (all, [serviceId, of]) =>
        all.set(
          serviceId,
          of.map((row) => toView(row, byId)),
        ),
      new Map<ServiceId, TaskView[]>(),
    );
}

function toView(row: TaskRow, jobs: ReadonlyMap<string, JobView>): TaskView {
  return {
    id: row.id,
    kind: row.kind,
    deployId: row.deploy_id,
    state: row.state,
    reasonCode: row.reason_code,
    reason: row.reason,
    lastLines: row.last_lines,
    createdAtMs: row.created_at.getTime(),
    deadlineMs: row.deadline_ms,
    endedAtMs: row.finished_at?.getTime() ?? null,
    cancelled: row.cancelled,
    job: jobs.get(row.job_id ?? "") ?? null,
  };
}

export interface NewTask {
  readonly id: TaskId;
  readonly kind: TaskKind;
  readonly name: string | null;
  readonly command: string;
  readonly deadlineMs: number;
  readonly scheduledAt: Date | null;
}

/** @returns the task's name, such as `cron.17`; null when that very task was made before */
export async function createTask(
  trx: Trx,
  release: ReleaseRow,
  releaseId: string,
  task: NewTask,
): Promise<string | null> {
  const { id, kind, name, command, deadlineMs, scheduledAt } = task;
  const numbered = await sql<{ number: number }>`
    insert into tasks (id, org_id, environment_id, service_id, release_id, deploy_id, kind, name, number, command, deadline_ms, scheduled_at)
    select ${id}, ${release.org_id}, ${release.environment_id}, ${release.service_id}, ${releaseId}, ${release.deploy_id}, ${kind},
           ${name}, coalesce(max(number), 0) + 1, ${command}, ${deadlineMs}, ${scheduledAt}
      from tasks where service_id = ${release.service_id}
    on conflict do nothing returning number`.execute(trx);
  const number = numbered.rows[0]?.number;
  if (number === undefined) return null;
  const spec = specOf(release, releaseId, task, number);
  await sql`
    insert into jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, task_id)
    values (${spec.jobId}, ${release.org_id}, ${release.environment_id}, ${release.service_id}, ${releaseId}, ${release.deploy_id},
            ${kind}, ${number}, ${JSON.stringify(spec)}, ${id})`.execute(trx);
  await sql`update tasks set job_id = ${spec.jobId} where id = ${id}`.execute(trx);
  return `${kind}.${number}`;
}

function specOf(release: ReleaseRow, releaseId: string, task: NewTask, number: number): JobSpec {
  const { labels, runtime } = ServicePolicy.parse(release.policy);
  // A release phase has sizes of its own; what else runs once has those of `web`.
  const settings = settingsOf(release, task.kind === "release" ? RELEASE_PROCESS : "web");
  return JobSpec.parse({
    ...commonSpec(release, releaseId),
    ...{ process: task.kind, slot: number, command: task.command },
    resources: resourcesOf(settings),
    constraints: { labels, runtime },
    partition: DEFAULT_PARTITION_POLICY,
    readiness: { httpPath: null, deadlineMs: 60_000, aliveMs: 0 },
    task: { deadlineMs: task.deadlineMs },
    stopGraceMs: STOP_GRACE_MS,
    ...(task.kind === "release" ? {} : { traceparent: null }),
  });
}

export async function createReleaseTask(trx: Trx, { id, deployId }: ReleaseView): Promise<Progress[]> {
  const row = await readRelease(trx, id);
  const command = ProcessTable.parse(row.processes)[RELEASE_PROCESS]?.command ?? "";
  const { releaseDeadlineMs } = ReleaseTasks.parse(row.tasks);
  const name = await createTask(trx, row, id, {
    ...{ id: newId("task"), kind: "release", name: null, scheduledAt: null },
    ...{ command, deadlineMs: releaseDeadlineMs },
  });
  if (name === null) return [];
  return [
    {
      deployId,
      line: `Release phase (${name}, at most ${releaseDeadlineMs / 1000} s): ${command.slice(0, 200)}`,
    },
  ];
}

/** @returns for the pusher, what the release phase printed last and how it ended */
export async function endTask(trx: Trx, step: Extract<Step, { kind: "end-task" }>): Promise<Progress[]> {
  const rows = await sql<{
    kind: TaskKind;
    deploy_id: DeployId;
    last_lines: string[];
    exit_code: number | null;
  }>`
    update tasks t set state = ${step.to}, reason_code = ${step.reasonCode}, reason = ${step.reason}, finished_at = now(),
           exit_code = j.exit_code, last_lines = coalesce(j.last_lines, '[]')
      from (select 1) one left join jobs j on j.task_id = ${step.taskId}
     where t.id = ${step.taskId} and t.finished_at is null
    returning t.kind, t.deploy_id, t.last_lines, t.exit_code`.execute(trx);
  const row = rows.rows[0];
  if (row?.kind !== "release") return [];
  const deployId = row.deploy_id;
  const printed = row.last_lines.map((line) => ({ deployId, line: `  ${line}` }));
  const how = step.to === "succeeded" ? "ended well" : `${step.to}: ${step.reason ?? ""}`;
  return [...printed, { deployId, line: `Release phase ${how}` }];
}
