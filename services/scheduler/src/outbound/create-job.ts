/** Makes a job's row with everything an agent needs but the secrets, from the release as stored. */
import { ImageProfile, ProcessTable } from "@berth/shared/contracts/build.ts";
import { ProcessSettings } from "@berth/shared/contracts/http/api.ts";
import { JobSpec } from "@berth/shared/contracts/job.ts";
import type { ReleaseId } from "@berth/shared/domain/ids.ts";
import { DEFAULT_RESOURCES } from "@berth/shared/domain/resources.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { Transaction } from "kysely";
import { sql } from "kysely";
import { z } from "zod";
import type { Tables } from "./tables.ts";

interface ReleaseRow {
  org_id: string;
  environment_id: string;
  service_id: string;
  deploy_id: string;
  service_name: string;
  environment_name: string;
  version: number;
  commit: string;
  image_repository: string;
  image_digest: string;
  image_bytes: number;
  processes: unknown;
  profile: unknown;
  config_version: number;
  process_settings: unknown;
  traceparent: string | null;
}

export async function createJob(
  trx: Transaction<Tables>,
  releaseId: ReleaseId,
  process: string,
  slot: number,
  readinessDeadlineMs: number,
): Promise<void> {
  const found = await sql<ReleaseRow>`
    select s.org_id, s.environment_id, r.service_id, r.deploy_id, s.name as service_name, e.name as environment_name, r.version, r.commit,
           r.image_repository, r.image_digest, r.image_bytes, r.processes, r.profile, r.config_version, r.process_settings, r.traceparent
      from api.releases r join api.services s on s.id = r.service_id join api.environments e on e.id = s.environment_id
     where r.id = ${releaseId}`.execute(trx);
  const row = found.rows[0];
  if (row === undefined) throw new Error(`release ${releaseId} is not stored`);
  const settings = z
    .array(ProcessSettings)
    .parse(row.process_settings)
    .find((one) => one.process === process);
  const jobId = newId("job");
  const spec = JobSpec.parse({
    jobId,
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
    process,
    slot,
    command: ProcessTable.parse(row.processes)[process as never]?.command ?? "",
    image: { repository: row.image_repository, digest: row.image_digest, bytes: row.image_bytes },
    profile: ImageProfile.parse(row.profile),
    resources: {
      ...DEFAULT_RESOURCES,
      ...(settings === undefined ? {} : { memoryBytes: settings.memoryBytes, cpuMillis: settings.cpuMillis }),
    },
    readiness: { httpPath: settings?.healthPath ?? null, deadlineMs: readinessDeadlineMs, aliveMs: 2000 },
    stopGraceMs: 10_000,
    configVersion: row.config_version,
    traceparent: row.traceparent,
  });
  await sql`
    insert into jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec)
    values (${jobId}, ${row.org_id}, ${row.environment_id}, ${row.service_id}, ${releaseId}, ${row.deploy_id}, ${process}, ${slot}, ${JSON.stringify(spec)})
    on conflict (service_id, release_id, process, slot) where state not in ('finished', 'failed', 'lost') and desired = 'run' and not leaving do nothing`.execute(
    trx,
  );
}
