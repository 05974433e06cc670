/** Orders to replace running instances: a time per process, which the scheduler compares with its jobs' births. */
import type { ProcessTable } from "@berth/shared/contracts/build.ts";
import { sql } from "kysely";
import type { Reply } from "../inbound/http/routes.ts";
import type { Trx } from "./tables.ts";

type Instance = Reply<"restartService">["instances"][number];

export interface Serving {
  readonly releaseId: string;
  readonly release: number;
  readonly processes: ProcessTable;
}

export async function findServing(trx: Trx, serviceId: string): Promise<Serving | undefined> {
  const found = await sql<Serving>`
    select r.id as "releaseId", r.version as release, r.processes
    from scheduler.serving v join api.releases r on r.id = v.release_id where v.service_id = ${serviceId}
  `.execute(trx);
  return found.rows[0];
}

/** @returns the instances that will be replaced */
export async function askRestart(
  trx: Trx,
  serviceId: string,
  releaseId: string,
  processes: readonly string[],
): Promise<Instance[]> {
  for (const process of processes) {
    await sql`
      insert into api.restarts (service_id, process) values (${serviceId}, ${process})
      on conflict (service_id, process) do update set requested_at = now()`.execute(trx);
  }
  const found = await sql<Instance>`
    select id as "jobId", process, slot from scheduler.jobs
    where service_id = ${serviceId} and release_id = ${releaseId} and process = any(${processes})
      and desired = 'run' and not leaving and open and state <> 'lost' and created_at < now()
    order by process, slot limit 500`.execute(trx);
  return found.rows;
}
