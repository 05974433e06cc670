/** One host closely, from the api's and the scheduler's tables. */
import { RecoveryReport } from "@berth/shared/contracts/http/api.ts";
import { sql } from "kysely";
import { z } from "zod";
import type { Reply } from "../inbound/http/routes.ts";
import type { Db } from "./tables.ts";

type Details = Reply<"showHost">;
export type HostJob = Details["jobs"][number];

interface JobRow extends Omit<HostJob, "successor"> {
  readonly successorHost: string | null;
  readonly successorState: NonNullable<HostJob["successor"]>["state"] | null;
  readonly waitsFor: string | null;
}

/** Everything that the host holds or is said to hold. */
export async function readHostJobs(db: Db, hostId: string): Promise<HostJob[]> {
  const found = await sql<JobRow>`
    select j.id as "jobId", coalesce(o.name, j.org_id) as org, coalesce(e.name, j.environment_id) as environment,
           coalesce(s.name, j.service_id) as service, j.process, j.slot, coalesce(r.version, 0) as release, j.state, j.ready,
           j.rotation = 'in' as "inRotation", j.leaving, coalesce((j.spec->'resources'->>'memoryBytes')::float8, 0) as "memoryBytes",
           j.restarts_count as "restartsCount", (extract(epoch from j.updated_at) * 1000)::float8 as "sinceMs",
           n.state as "successorState", nh.name as "successorHost", case when n.state = 'requested' then d.common_refusal end as "waitsFor"
      from scheduler.jobs j
        left join api.services s on s.id = j.service_id
        left join api.environments e on e.id = j.environment_id
        left join api.orgs o on o.id = j.org_id
        left join api.releases r on r.id = j.release_id
        left join lateral (
          select state, host_id, id from scheduler.jobs next
           where j.leaving and next.service_id = j.service_id and next.release_id = j.release_id and next.process = j.process
             and next.slot = j.slot and not next.leaving and next.desired = 'run' and next.open and next.state <> 'lost'
           order by next.created_at desc limit 1) n on true
        left join api.hosts nh on nh.id = n.host_id
        left join lateral (
          select common_refusal from scheduler.decisions where job_id = n.id and outcome = 'unplaceable'
           order by decided_at desc limit 1) d on true
     where (j.held_by = ${hostId} or (j.pending and j.host_id = ${hostId})) and j.state <> 'requested'
     order by org, environment, service, j.process, j.slot limit 2000`.execute(db);
  return found.rows.map(({ successorHost, successorState, waitsFor, ...job }) => ({
    ...job,
    successor: successorState === null ? null : { host: successorHost, state: successorState, waitsFor },
  }));
}

interface IdentityRow {
  readonly agentKey: string;
  readonly logshipperKey: string;
  readonly bootId: string | null;
  readonly heartbeat: unknown;
  readonly cloned: unknown;
}

/** What a heartbeat may tell beyond the bid; agents of other versions leave parts of it out. */
const Told = z.looseObject({
  agentStartedAtMs: z.number().optional().catch(undefined),
  agentVersion: z.string().optional().catch(undefined),
  recovery: RecoveryReport.optional().catch(undefined),
  state: z.looseObject({ startLimit: z.number().optional().catch(undefined) }).optional(),
});

export async function readHostIdentity(
  db: Db,
  hostId: string,
): Promise<Pick<Details, "identity" | "recovery" | "startLimit">> {
  const found = await sql<IdentityRow>`
    select h.agent_key as "agentKey", h.logshipper_key as "logshipperKey", seen.boot_id as "bootId",
           seen.heartbeat, seen.cloned
      from api.hosts h left join scheduler.hosts_seen seen on seen.host_id = h.id where h.id = ${hostId}`.execute(
    db,
  );
  const { agentKey = "", logshipperKey = "", bootId = null, heartbeat, cloned } = found.rows[0] ?? {};
  const told = Told.safeParse(heartbeat ?? {});
  const { agentStartedAtMs = null, agentVersion = null, recovery, state } = told.success ? told.data : {};
  return {
    identity: {
      ...{ agentKey, logshipperKey, bootId, agentStartedAtMs, agentVersion },
      cloned: (cloned ?? null) as Details["identity"]["cloned"],
    },
    recovery: recovery ?? null,
    startLimit: state?.startLimit ?? null,
  };
}
