/** Builds that succeeded and have neither a release nor a stated reason for having none. */

import { AppConfig } from "@berth/shared/domain/app-config.ts";
import type { DeployId } from "@berth/shared/domain/ids.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import { sql } from "kysely";
import { applyConfig } from "./app-config-store.ts";
import type { Image } from "./release-store.ts";
import { lockService, makeRelease } from "./release-store.ts";
import type { Db, Trx } from "./tables.ts";

export interface FinishedBuild extends Omit<Image, "env" | "tasks"> {
  /** Null when the repository says nothing. */
  readonly config: unknown;
  readonly buildId: string;
  /** The ready image that somebody named; null after a push. */
  readonly image: string | null;
  readonly deployId: DeployId;
  readonly serviceId: string;
  readonly traceparent: string | null;
  readonly finishedAtMs: number;
}

const BATCH = 50;

/** Oldest first, so that pushes become releases in their order. */
export async function findBuildsWithoutRelease(db: Db): Promise<FinishedBuild[]> {
  const found = await sql<FinishedBuild>`
    select b.id as "buildId", b.deploy_id as "deployId", b.service_id as "serviceId", b.commit,
           b.image_repository as "imageRepository", b.image_digest as "imageDigest", b.image_bytes as "imageBytes",
           b.image, b.processes, b.profile, b.app_config as config, b.traceparent,
           (extract(epoch from coalesce(b.finished_at, b.created_at)) * 1000)::float8 as "finishedAtMs"
    from builder.builds b
      join api.services s on s.id = b.service_id and s.deleted_at is null
    where b.state = 'succeeded'
      and not exists (select 1 from api.releases r where r.deploy_id = b.deploy_id)
      and not exists (select 1 from api.deploy_cancels c where c.deploy_id = b.deploy_id)
    order by b.created_at
    limit ${BATCH}
  `.execute(db);
  return found.rows;
}

export type ReleaseOutcome =
  | { readonly kind: "released"; readonly releaseId: string; readonly version: number }
  | { readonly kind: "superseded" }
  | { readonly kind: "nothing"; readonly because: "service-removed" | "already-released" | "cancelled" };

/** Everything is checked again under the service's lock; a repeat finds the release and does nothing. */
export async function releaseBuild(db: Db, build: FinishedBuild): Promise<ReleaseOutcome> {
  return db.transaction().execute(async (trx) => {
    const service = await lockService(trx, build.serviceId);
    if (service === undefined) return { kind: "nothing", because: "service-removed" };
    const stands = await standingOf(trx, build);
    if (stands.released) return { kind: "nothing", because: "already-released" };
    if (stands.cancelled) return { kind: "nothing", because: "cancelled" };
    if (stands.newerReleased) {
      const row = { deploy_id: build.deployId, reason_code: "superseded" as const, requested_by: "api" };
      await trx
        .insertInto("deploy_cancels")
        .values(row)
        .onConflict((c) => c.doNothing())
        .execute();
      return { kind: "superseded" };
    }
    const config = AppConfig.parse(build.config ?? {});
    await applyConfig(trx, service, build.processes, config);
    const made = await makeRelease(
      trx,
      service,
      { ...build, env: config.env, tasks: config.tasks },
      {
        deployId: build.deployId,
        ...causeOf(build),
        traceparent: build.traceparent,
        stages: [
          {
            name: "release",
            startedAtMs: build.finishedAtMs,
            endedAtMs: Math.max(Date.now(), build.finishedAtMs),
          },
        ],
      },
    );
    crashPoint("api.release-not-committed");
    return { kind: "released", ...made };
  });
}

function causeOf({ image, commit }: FinishedBuild) {
  return image === null
    ? { cause: "push" as const, description: `push of ${commit?.slice(0, 12)}` }
    : { cause: "image" as const, description: `image ${image}`.slice(0, 300) };
}

interface Standing {
  readonly released: boolean;
  readonly cancelled: boolean;
  /** A later push of this service has its release, or somebody went back since: this build came too late. */
  readonly newerReleased: boolean;
}

async function standingOf(trx: Trx, build: FinishedBuild): Promise<Standing> {
  const found = await sql<Standing>`
    select
      exists (select 1 from api.releases where deploy_id = ${build.deployId}) as released,
      exists (select 1 from api.deploy_cancels where deploy_id = ${build.deployId}) as cancelled,
      exists (
        select 1 from api.releases r
          join builder.builds mine on mine.deploy_id = ${build.deployId}
          left join builder.builds later on later.deploy_id = r.deploy_id
        where r.service_id = ${build.serviceId}
          and (later.pushed_at > mine.pushed_at or (r.cause = 'rollback' and r.created_at > mine.pushed_at))
      ) as "newerReleased"
  `.execute(trx);
  const row = found.rows[0];
  if (row === undefined) throw new Error("a select without a table answered no row");
  return row;
}
