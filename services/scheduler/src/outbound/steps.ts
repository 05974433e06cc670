/** Carries out the steps of a plan, in one transaction that only the leader can commit. */
import { DeployFinished } from "@berth/shared/contracts/deploy.ts";
import { assertNever } from "@berth/shared/domain/assert.ts";
import type { DeployState, Stage } from "@berth/shared/domain/deploy-state.ts";
import { canStepDeploy, isFinalDeploy } from "@berth/shared/domain/deploy-state.ts";
import type { DeployId, ServiceId } from "@berth/shared/domain/ids.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import { addToOutbox } from "@berth/shared/kit/outbox.ts";
import type { Kysely, Transaction } from "kysely";
import { sql } from "kysely";
import type { ReleaseView, Step } from "../core/views.ts";
import type { ColdStartBook } from "./cold-start-book.ts";
import { createJob } from "./create-job.ts";
import { planInWords } from "./deploy-plan.ts";
import { lockForSteps } from "./job-locks.ts";
import type { Leadership } from "./leader.ts";
import { stepSleep } from "./sleeps.ts";
import type { Tables } from "./tables.ts";
import { createReleaseTask, endTask } from "./tasks.ts";

/** A line for the person who waits for a deploy. */
export interface Progress {
  readonly deployId: DeployId;
  readonly line: string;
}

export interface StepContext {
  readonly db: Kysely<Tables>;
  readonly leadership: Leadership;
  readonly readinessDeadlineMs: number;
  readonly coldStarts?: ColdStartBook;
}

/** @returns what to tell the pushers, once it is committed */
export async function applySteps(
  given: StepContext,
  serviceId: ServiceId,
  steps: readonly Step[],
): Promise<Progress[]> {
  crashPoint("scheduler.before-steps");
  const told = await given.db.transaction().execute(async (trx) => {
    await given.leadership.fence(trx);
    await lockForSteps(trx, serviceId, steps);
    const progress: Progress[] = [];
    for (const step of steps) progress.push(...(await applyStep(trx, given, serviceId, step)));
    return progress;
  });
  crashPoint("scheduler.after-steps");
  return told;
}

async function applyStep(
  trx: Transaction<Tables>,
  given: StepContext,
  serviceId: ServiceId,
  step: Step,
): Promise<Progress[]> {
  switch (step.kind) {
    case "create-deploy":
      return createDeploy(trx, serviceId, step.release);
    case "create-job":
      await createJob(trx, step, given.readinessDeadlineMs);
      return [];
    case "create-task":
      return createReleaseTask(trx, step.release);
    case "end-task":
      return endTask(trx, step);
    case "set-rotation":
      await sql`update jobs set rotation = ${step.rotation}, rotation_since = now(), updated_at = now() where id = ${step.jobId} and rotation <> ${step.rotation}`.execute(
        trx,
      );
      return [];
    case "leave-host":
      await sql`update jobs set leaving = true, updated_at = now() where id = ${step.jobId}`.execute(trx);
      return [];
    case "send-away":
      await sql`update jobs set away = true, updated_at = now() where id = ${step.jobId} and state = 'lost'`.execute(
        trx,
      );
      return [];
    case "take-back":
      await sql`update jobs set away = false, leaving = false, updated_at = now() where id = ${step.jobId}`.execute(
        trx,
      );
      return [];
    case "stop-job":
      // A job that no host was asked to take is over at once.
      await sql`update jobs set desired = 'stop', state = case when state = 'requested' then 'finished' else state end, ready = false, updated_at = now() where id = ${step.jobId}`.execute(
        trx,
      );
      return [];
    case "set-serving":
      if (step.releaseId === null)
        await trx.deleteFrom("serving").where("service_id", "=", serviceId).execute();
      else
        await sql`insert into serving (service_id, release_id) values (${serviceId}, ${step.releaseId}) on conflict (service_id) do update set release_id = excluded.release_id`.execute(
          trx,
        );
      return [];
    case "step-sleep":
      given.coldStarts?.note(serviceId, await stepSleep(trx, serviceId, step));
      return [];
    case "step-deploy":
      return stepDeploy(trx, serviceId, step);
    default:
      return assertNever(step);
  }
}

async function createDeploy(
  trx: Transaction<Tables>,
  serviceId: ServiceId,
  release: ReleaseView,
): Promise<Progress[]> {
  const plan = await planInWords(trx, serviceId, release);
  const made = await sql`
    insert into deploys (id, service_id, release_id, state, plan, stages)
    select ${release.deployId}, ${serviceId}, r.id, 'planned', ${plan},
           jsonb_build_array(jsonb_build_object('name', 'plan', 'startedAtMs', extract(epoch from r.created_at) * 1000, 'endedAtMs', extract(epoch from clock_timestamp()) * 1000))
      from api.releases r where r.id = ${release.id}
    on conflict (id) do nothing returning id`.execute(trx);
  return made.rows.length === 0
    ? []
    : [
        { deployId: release.deployId, line: `Plan: ${plan}` },
        { deployId: release.deployId, line: `Release v${release.version}: asking the hosts for bids` },
      ];
}

async function stepDeploy(
  trx: Transaction<Tables>,
  serviceId: ServiceId,
  step: Extract<Step, { kind: "step-deploy" }>,
): Promise<Progress[]> {
  const row = await trx
    .selectFrom("deploys")
    .select(["state", "release_id", "state_since", "stages"])
    .where("id", "=", step.deployId)
    .forUpdate()
    .executeTakeFirstOrThrow();
  const from = row.state as DeployState;
  if (from === step.to || !canStepDeploy(from, step.to)) return [];
  const nowMs = Date.now();
  const stages = [
    ...(row.stages as Stage[]),
    ...(await stageOf(trx, step.deployId, from, row.state_since.getTime(), nowMs)),
  ];
  const final = isFinalDeploy(step.to);
  await trx
    .updateTable("deploys")
    .set({
      state: step.to,
      state_since: new Date(nowMs),
      stages: JSON.stringify(stages),
      ...(step.reasonCode === null ? {} : { reason_code: step.reasonCode, reason: step.reason }),
      ...(final ? { finished_at: new Date(nowMs) } : {}),
    })
    .where("id", "=", step.deployId)
    .execute();
  if (final) {
    await addToOutbox(trx, DeployFinished, {
      deployId: step.deployId,
      serviceId,
      releaseId: row.release_id as never,
      state: step.to,
      reasonCode: step.reasonCode,
      reason: step.reason,
    });
  }
  return describeStep(step);
}

/** The stage that a deploy's state was, when it is left. What happens on the hosts is in the jobs' own stages. */
async function stageOf(
  trx: Transaction<Tables>,
  deployId: DeployId,
  left: DeployState,
  sinceMs: number,
  nowMs: number,
): Promise<Stage[]> {
  if (left === "releasing") return [{ name: "release phase", startedAtMs: sinceMs, endedAtMs: nowMs }];
  if (left === "routing") return [{ name: "route", startedAtMs: sinceMs, endedAtMs: nowMs }];
  if (left === "draining") return [{ name: "drain", startedAtMs: sinceMs, endedAtMs: nowMs }];
  if (left !== "starting") return [];
  const ready = await sql<{ at: number | null }>`
    select max((stage->>'endedAtMs')::float8) as at from jobs, jsonb_array_elements(stages) stage
     where deploy_id = ${deployId} and stage->>'name' = 'ready'`.execute(trx);
  const readyAtMs = ready.rows[0]?.at;
  return readyAtMs == null
    ? []
    : [{ name: "observe", startedAtMs: readyAtMs, endedAtMs: Math.max(nowMs, readyAtMs) }];
}

/** The rest comes with the deploy's end. */
function firstLine(text: string): string {
  return (text.split("\n")[0] ?? text).replace(/\. It printed last:$/, "");
}

function describeStep(step: Extract<Step, { kind: "step-deploy" }>): Progress[] {
  const { deployId } = step;
  switch (step.to) {
    case "routing":
      return [{ deployId, line: "All new instances are ready; telling every edge" }];
    case "draining":
      return [{ deployId, line: "Every edge serves the new release" }];
    case "rolling-back":
      return [{ deployId, line: `Stopping: ${firstLine(step.reason ?? step.reasonCode ?? "it failed")}` }];
    default:
      return [];
  }
}
