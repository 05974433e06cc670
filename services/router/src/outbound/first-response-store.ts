/** Which deploys' URLs are to be asked for the first time, and what they answered. */
import { FirstResponse } from "@berth/shared/contracts/route.ts";
import type { DeployId, HostId, ServiceId } from "@berth/shared/domain/ids.ts";
import { addToOutbox } from "@berth/shared/kit/outbox.ts";
import { type Kysely, sql } from "kysely";
import type { RouterTables } from "./tables.ts";

export interface AwaitedResponse {
  readonly deployId: DeployId;
  readonly serviceId: ServiceId;
  readonly hostnameLabel: string;
  readonly traceparent: string | null;
  /** A live host, and where its edge listens. */
  readonly hostId: HostId;
  readonly nodeAddress: string;
}

/**
 * Deploys of the last hour with a web job in an acknowledged table and no answer stored. The edge asked is that of
 * the live host with the smallest id that runs one of the deploy's jobs.
 */
export async function readAwaited(db: Kysely<RouterTables>): Promise<AwaitedResponse[]> {
  const { rows } = await sql<{
    deploy_id: DeployId;
    service_id: ServiceId;
    hostname_label: string;
    traceparent: string | null;
    host_id: HostId;
    node_address: string;
  }>`
    with awaited as materialized (
      select d.id, d.service_id, d.release_id, s.hostname_label, s.environment_id
        from scheduler.deploys d
        join api.services s on s.id = d.service_id and s.deleted_at is null
       where d.created_at > now() - interval '1 hour'
         and d.state in ('routing', 'draining', 'succeeded')
         and not exists (select 1 from first_responses f where f.deploy_id = d.id))
    select distinct on (d.id) d.id as deploy_id, d.service_id, d.hostname_label, r.traceparent,
           h.id as host_id, h.node_address
      from awaited d
      join route_tables t on t.environment_id = d.environment_id and t.acknowledged_version = t.version
      cross join jsonb_array_elements(t.sites) site
      cross join jsonb_array_elements(site->'backends') backend
      join scheduler.jobs j on j.id = backend->>'jobId' and j.deploy_id = d.id and j.process = 'web' and j.rotation = 'in' and j.ready
      join api.hosts h on h.id = j.host_id and h.removed_at is null
      left join api.releases r on r.id = d.release_id
     where site->>'serviceId' = d.service_id
     order by d.id, h.id limit 50`.execute(db);
  return rows.map((row) => ({
    deployId: row.deploy_id,
    serviceId: row.service_id,
    hostnameLabel: row.hostname_label,
    traceparent: row.traceparent,
    hostId: row.host_id,
    nodeAddress: row.node_address,
  }));
}

export interface FirstAnswer {
  readonly status: number;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

/** Stores the answer and the fact; a second answer of the same deploy is dropped. */
export function storeFirstResponse(
  db: Kysely<RouterTables>,
  awaited: AwaitedResponse,
  hostname: string,
  answer: FirstAnswer,
): Promise<boolean> {
  const { deployId, serviceId, hostId } = awaited;
  return db.transaction().execute(async (trx) => {
    const row = {
      deploy_id: deployId,
      service_id: serviceId,
      hostname,
      host_id: hostId,
      status: answer.status,
      started_at_ms: answer.startedAtMs,
      ended_at_ms: answer.endedAtMs,
    };
    const inserted = await trx
      .insertInto("first_responses")
      .values(row)
      .onConflict((oc) => oc.column("deploy_id").doNothing())
      .returning("deploy_id")
      .execute();
    if (inserted.length === 0) return false;
    await addToOutbox(trx, FirstResponse, { deployId, serviceId, hostname, ...answer }, awaited.traceparent);
    return true;
  });
}
