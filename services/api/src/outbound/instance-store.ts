/** The ready instances of a service, and where they are. */
import { EnvironmentId, HostId, JobId } from "@berth/shared/domain/ids.ts";
import { sql } from "kysely";
import { z } from "zod";
import type { Db } from "./tables.ts";

const ReachableInstance = z.object({
  jobId: JobId,
  hostId: HostId,
  environmentId: EnvironmentId,
  process: z.string(),
  slot: z.number(),
  port: z.number().nullable(),
});
export type ReachableInstance = z.infer<typeof ReachableInstance>;

/** Those on hosts that speak; not those that are on their way out. */
export async function readReachableInstances(db: Db, serviceId: string): Promise<ReachableInstance[]> {
  const { rows } = await sql<unknown>`
    select j.id as "jobId", j.host_id as "hostId", j.environment_id as "environmentId", j.process, j.slot, j.port
      from scheduler.jobs j join scheduler.hosts_seen h on h.host_id = j.host_id and h.state = 'alive'
     where j.service_id = ${serviceId} and j.ready and j.state = 'running' and j.desired = 'run'
     order by j.process, j.slot, j.id limit 500`.execute(db);
  return z.array(ReachableInstance).parse(rows);
}
