/** Makes a job's row with everything an agent needs but the secrets, from the release as stored. */
import { ImageProfile, ProcessTable } from "@berth/shared/contracts/build.ts";
import { ProcessSettings } from "@berth/shared/contracts/http/api.ts";
import { JobSpec } from "@berth/shared/contracts/job.ts";
import { DEFAULT_RESOURCES } from "@berth/shared/domain/resources.ts";
import { partitionOf, ServicePolicy, STOP_GRACE_MS } from "@berth/shared/domain/service-policy.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { Transaction } from "kysely";
import { sql } from "kysely";
import { z } from "zod";
import type { Step } from "../core/views.ts";
import type { Tables } from "./tables.ts";

export interface ReleaseRow {
  org_id: string;
  environment_id: string;
  service_id: string;
  deploy_id: string;
  service_name: string;
  environment_name: string;
  version: number;
  commit: string | null;
  image_repository: string;
  image_digest: string;
  image_bytes: number;
  processes: unknown;
  profile: unknown;
  config_version: number;
  process_settings: unknown;
  tasks: unknown;
  policy: unknown;
  env: unknown;
  traceparent: string | null;
}

/** A single writer's lease counts on its stop: it may be given less time, never more. */
function stopGraceMs(wantedMs: number, singleWriter: boolean): number {
  return singleWriter ? Math.min(wantedMs, STOP_GRACE_MS) : wantedMs;
}

export async function readRelease(trx: Transaction<Tables>, releaseId: string): Promise<ReleaseRow> {
  const found = await sql<ReleaseRow>`
    select s.org_id, s.environment_id, r.service_id, r.deploy_id, s.name as service_name, e.name as environment_name, r.version, r.commit,
           r.image_repository, r.image_digest, r.image_bytes, r.processes, r.profile, r.config_version, r.process_settings, r.tasks,
           r.traceparent, r.env, s.policy
      from api.releases r join api.services s on s.id = r.service_id join api.environments e on e.id = s.environment_id
     where r.id = ${releaseId}`.execute(trx);
  const row = found.rows[0];
  if (row === undefined) throw new Error(`release ${releaseId} is not stored`);
  return row;
}

type Settings = z.infer<typeof ProcessSettings>;

/** The release's settings of a process. */
export function settingsOf(row: ReleaseRow, process: string): Settings | undefined {
  return z
    .array(ProcessSettings)
    .parse(row.process_settings)
    .find((one) => one.process === process);
}

/** What all jobs of a release share. */
export function commonSpec(row: ReleaseRow, releaseId: string) {
  return {
    jobId: newId("job"),
    epoch: 1,
    orgId: row.org_id,
    environmentId: row.environment_id,
    serviceId: row.service_id,
    releaseId,
    deployId: row.deploy_id,
    serviceName: row.service_name,
    environmentName: row.environment_name,
    releaseVersion: row.version,
    commit: row.commit,
    image: { repository: row.image_repository, digest: row.image_digest, bytes: row.image_bytes },
    profile: ImageProfile.parse(row.profile),
    env: row.env,
    configVersion: row.config_version,
    traceparent: row.traceparent,
  };
}

export function resourcesOf(settings: Settings | undefined) {
  if (settings === undefined) return DEFAULT_RESOURCES;
  const { memoryBytes, cpuMillis, diskBytes } = settings;
  return { ...DEFAULT_RESOURCES, memoryBytes, cpuMillis, diskBytes };
}

export async function createJob(
  trx: Transaction<Tables>,
  step: Extract<Step, { kind: "create-job" }>,
  readinessDeadlineMs: number,
): Promise<void> {
  const { process, slot } = step;
  const releaseId = step.release.id;
  const row = await readRelease(trx, releaseId);
  const settings = settingsOf(row, process);
  const policy = ServicePolicy.parse(row.policy);
  const { apart, labels, runtime, nearServiceId } = policy;
  if (step.alone && !(await isSlotFree(trx, { serviceId: row.service_id, process, slot }))) return;
  const spec = JobSpec.parse({
    ...commonSpec(row, releaseId),
    ...{ process, slot },
    command: ProcessTable.parse(row.processes)[process as never]?.command ?? "",
    resources: resourcesOf(settings),
    constraints: { apart, labels, runtime, nearServiceId },
    partition: partitionOf(policy),
    readiness: {
      httpPath: settings?.healthPath ?? null,
      deadlineMs: settings?.startDeadlineMs ?? readinessDeadlineMs,
      aliveMs: 2000,
    },
    stopGraceMs: stopGraceMs(settings?.stopGraceMs ?? STOP_GRACE_MS, policy.singleWriter),
  });
  await sql`
    insert into jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec)
    values (${spec.jobId}, ${row.org_id}, ${row.environment_id}, ${row.service_id}, ${releaseId}, ${row.deploy_id}, ${process}, ${slot}, ${JSON.stringify(spec)})
    on conflict (service_id, release_id, process, slot) where holds_slot do nothing`.execute(trx);
}

/**
 * A single writer's slot is taken only when nobody else can run there. Its host may have spoken since the plan was
 * made: its row is locked, so that a heartbeat comes before this or after the commit.
 */
export async function isSlotFree(
  trx: Transaction<Tables>,
  {
    serviceId,
    process,
    slot,
  }: { readonly serviceId: string; readonly process: string; readonly slot: number },
): Promise<boolean> {
  await sql`
    select host_id from hosts_seen where host_id in (
      select host_id from jobs where service_id = ${serviceId} and process = ${process} and slot = ${slot} and state = 'lost')
     order by host_id for share`.execute(trx);
  const holders = await sql`
    select 1 from jobs j left join hosts_seen s on s.host_id = j.host_id left join api.hosts h on h.id = j.host_id
     where j.service_id = ${serviceId} and j.process = ${process} and j.slot = ${slot} and j.open
       and not (j.state = 'lost' and j.desired = 'stop' and (s.state = 'lost' or h.removed_at is not null))
     limit 1`.execute(trx);
  return holders.rows.length === 0;
}
