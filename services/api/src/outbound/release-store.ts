/**
 * Makes releases. All causes (a push, a change of variables or sizes, a rollback) end here, in the
 * transaction of whoever calls, with the service's row locked, so that versions have no gap and no tie.
 */
import type { ImageProfile, ProcessTable } from "@berth/shared/contracts/build.ts";
import type { ReleaseCause as Cause } from "@berth/shared/contracts/release.ts";
import { ReleaseCreated } from "@berth/shared/contracts/release.ts";
import type { Stage } from "@berth/shared/domain/deploy-state.ts";
import type { DeployId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { ReleaseTasks } from "@berth/shared/domain/tasks.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { addToOutbox } from "@berth/shared/kit/outbox.ts";
import { sql } from "kysely";
import type { ProcessSetting } from "../core/plan-processes.ts";
import { newSettings, snapshot } from "../core/plan-processes.ts";
import type { Trx } from "./tables.ts";

export interface LockedService {
  readonly id: ServiceId;
  readonly orgId: string;
  readonly name: string;
  readonly healthPath: string | null;
  readonly currentReleaseId: string | null;
  readonly configVersion: number;
}

export interface Image {
  /** Null for a ready image. */
  readonly commit: string | null;
  readonly imageRepository: string;
  readonly imageDigest: string;
  readonly imageBytes: number;
  readonly processes: ProcessTable;
  readonly profile: ImageProfile;
  /** Variables from the repository that the image was built of. */
  readonly env: Readonly<Record<string, string>>;
  /** What the repository brings to run besides the processes. */
  readonly tasks: ReleaseTasks;
}

export interface ReleaseCause {
  readonly deployId: DeployId;
  readonly cause: Cause;
  readonly description: string;
  readonly traceparent: string | null;
  readonly stages: readonly Stage[];
}

/** Locks the service until the transaction ends. @returns undefined when it was removed */
export async function lockService(trx: Trx, serviceId: string): Promise<LockedService | undefined> {
  const found = await sql<LockedService>`
    select id, org_id as "orgId", name, health_path as "healthPath", current_release_id as "currentReleaseId",
           config_version as "configVersion"
    from api.services where id = ${serviceId} and deleted_at is null for update
  `.execute(trx);
  return found.rows[0];
}

export async function readSettings(trx: Trx, serviceId: string): Promise<ProcessSetting[]> {
  return trx
    .selectFrom("processes")
    .select([
      "process",
      "scale",
      "memory_bytes as memoryBytes",
      "cpu_millis as cpuMillis",
      "disk_bytes as diskBytes",
      "health_path as healthPath",
      "start_deadline_ms as startDeadlineMs",
      "stop_grace_ms as stopGraceMs",
      "canary",
      "batch",
      "min_ready_ms as minReadyMs",
      "autoscale",
    ])
    .where("service_id", "=", serviceId)
    .execute();
}

export async function writeSettings(
  trx: Trx,
  serviceId: string,
  settings: readonly ProcessSetting[],
): Promise<void> {
  for (const setting of settings) {
    const sizes = {
      scale: setting.scale,
      memory_bytes: setting.memoryBytes,
      cpu_millis: setting.cpuMillis,
      disk_bytes: setting.diskBytes,
      health_path: setting.healthPath,
      start_deadline_ms: setting.startDeadlineMs,
      stop_grace_ms: setting.stopGraceMs,
      canary: setting.canary,
      batch: setting.batch,
      min_ready_ms: setting.minReadyMs,
      autoscale: setting.autoscale === null ? null : JSON.stringify(setting.autoscale),
    };
    await trx
      .insertInto("processes")
      .values({ service_id: serviceId, process: setting.process, ...sizes })
      .onConflict((conflict) => conflict.columns(["service_id", "process"]).doUpdateSet(sizes))
      .execute();
  }
}

/** The image of the service's current release, for a release that only changes configuration or sizes. */
export async function currentImage(trx: Trx, service: LockedService): Promise<Image | undefined> {
  if (service.currentReleaseId === null) return undefined;
  const found = await sql<Image>`
    select commit, image_repository as "imageRepository", image_digest as "imageDigest", image_bytes as "imageBytes",
           processes, profile, env, tasks
    from api.releases where id = ${service.currentReleaseId}
  `.execute(trx);
  return found.rows[0];
}

/** Stores the release, makes it the service's desired one and tells of it. */
export async function makeRelease(
  trx: Trx,
  service: LockedService,
  image: Image,
  why: ReleaseCause,
): Promise<{ releaseId: string; version: number }> {
  const known = await readSettings(trx, service.id);
  const added = newSettings(image.processes, known, service.healthPath);
  await writeSettings(trx, service.id, added);
  const releaseId = newId("release");
  const version = await nextVersion(trx, service.id);
  await trx
    .insertInto("releases")
    .values({
      id: releaseId,
      service_id: service.id,
      version,
      deploy_id: why.deployId,
      commit: image.commit,
      image_repository: image.imageRepository,
      image_digest: image.imageDigest,
      image_bytes: image.imageBytes,
      processes: JSON.stringify(image.processes),
      profile: JSON.stringify(image.profile),
      env: JSON.stringify(image.env),
      tasks: JSON.stringify(image.tasks),
      config_version: service.configVersion,
      process_settings: JSON.stringify(snapshot(image.processes, [...known, ...added])),
      description: why.description,
      cause: why.cause,
      traceparent: why.traceparent,
      stages: JSON.stringify(why.stages),
    })
    .execute();
  await trx
    .updateTable("services")
    .set({ current_release_id: releaseId })
    .where("id", "=", service.id)
    .execute();
  const fact = { serviceId: service.id, releaseId, deployId: why.deployId };
  await addToOutbox(trx, ReleaseCreated, fact, why.traceparent);
  return { releaseId, version };
}

async function nextVersion(trx: Trx, serviceId: string): Promise<number> {
  const found = await sql<{ next: number }>`
    select coalesce(max(version), 0) + 1 as next from api.releases where service_id = ${serviceId}
  `.execute(trx);
  return found.rows[0]?.next ?? 1;
}
