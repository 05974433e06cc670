/** Reads from the record who may have what: an award that stands, a build that runs. */
import type { OrgId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { Kysely } from "kysely";
import { sql } from "kysely";
import type { VaultTables } from "./vault.ts";

export interface StandingAward {
  readonly orgId: OrgId;
  readonly serviceId: ServiceId;
  readonly configVersion: number;
  readonly imageRepository: string;
  /** Curve public key of the host, from its join. */
  readonly hostCurveKey: string;
}

export interface AskedAward {
  readonly jobId: string;
  readonly epoch: number;
  readonly hostId: string;
}

/** @returns for each null unless this very (job, epoch) is awarded to this host, wanted, and the host belongs to the pod */
export async function findStandingAwards(
  db: Kysely<VaultTables>,
  asked: readonly AskedAward[],
): Promise<(StandingAward | null)[]> {
  const { rows } = await sql<{
    id: string;
    epoch: number;
    host_id: string;
    org_id: OrgId;
    service_id: ServiceId;
    spec: { configVersion: number; image: { repository: string } };
    curve_key: string;
  }>`
    select j.id, j.epoch, j.host_id, j.org_id, j.service_id, j.spec, h.curve_key
      from scheduler.jobs j join api.hosts h on h.id = j.host_id
     where j.id = any(${asked.map(({ jobId }) => jobId)}) and j.desired = 'run'
       and j.state in ('awarded', 'accepted', 'preparing', 'starting', 'running') and h.removed_at is null`.execute(
    db,
  );
  const byJob = new Map(rows.map((row) => [row.id, row]));
  return asked.map(({ jobId, epoch, hostId }) => {
    const row = byJob.get(jobId);
    if (row === undefined || row.epoch !== epoch || row.host_id !== hostId) return null;
    return {
      orgId: row.org_id,
      serviceId: row.service_id,
      configVersion: row.spec.configVersion,
      imageRepository: row.spec.image.repository,
      hostCurveKey: row.curve_key,
    };
  });
}

/** True when the build is running and the repository is its service's own. */
export async function mayPush(
  db: Kysely<VaultTables>,
  buildId: string,
  repository: string,
): Promise<boolean> {
  const rows = await sql`
    select 1 from builder.builds where id = ${buildId} and state = 'running' and ${repository} = org_id || '/' || service_id`.execute(
    db,
  );
  return rows.rows.length > 0;
}

/** True when the service is there and the org's own. */
export async function isService(db: Kysely<VaultTables>, orgId: string, serviceId: string): Promise<boolean> {
  const rows = await sql`
    select 1 from api.services where id = ${serviceId} and org_id = ${orgId} and deleted_at is null`.execute(
    db,
  );
  return rows.rows.length > 0;
}
