/**
 * The order in which rows are locked: a service's sleep, then jobs in the order of their ids. Hosts are locked in the
 * order of theirs, before jobs or after them only by what the leader does one after the other.
 *
 * Who writes one row after the other locks them all first: agents' words and awards lock many jobs in one statement,
 * and would wait for each other for ever with who has the second of two already.
 */
import type { JobId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { RawBuilder, Transaction } from "kysely";
import { sql } from "kysely";
import type { Step } from "../core/views.ts";
import type { Tables } from "./tables.ts";

/** Ids of the jobs that fulfil `where`, locked: to begin a statement `with open as materialized (…)`. */
export function openJobs(where: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`open as materialized (select id from jobs where ${where} order by id for update)`;
}

export async function lockJobs(trx: Transaction<Tables>, ids: readonly JobId[]): Promise<void> {
  if (new Set(ids).size < 2) return;
  await sql`select from jobs where id = any(${ids}) order by id for update`.execute(trx);
}

/** All jobs that the steps of a plan change. A step of the service's sleep may change every one of them. */
export async function lockForSteps(
  trx: Transaction<Tables>,
  serviceId: ServiceId,
  steps: readonly Step[],
): Promise<void> {
  const ids = steps.flatMap((step) => ("jobId" in step ? [step.jobId] : []));
  if (!steps.some(({ kind }) => kind === "step-sleep")) return lockJobs(trx, ids);
  await sql`select from sleeps where service_id = ${serviceId} for update`.execute(trx);
  await sql`select from jobs where id = any(${ids}) or (service_id = ${serviceId} and open) order by id for update`.execute(
    trx,
  );
}
