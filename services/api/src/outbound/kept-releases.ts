/** A service's releases as the customer sees them: the kept ones, and how they leave. */
import { KEPT_IMAGES, KEPT_RELEASES } from "@berth/shared/contracts/http/api.ts";
import { sql } from "kysely";
import type { ProcessSetting } from "../core/plan-processes.ts";
import type { Reply } from "../inbound/http/routes.ts";
import type { Image } from "./release-store.ts";
import type { Db, Trx } from "./tables.ts";

type Release = Reply<"listReleases">["releases"][number];
type Details = Reply<"showRelease">;

interface ReleaseRow extends Omit<Details, "createdAt" | "processes" | "sizes"> {
  readonly createdAt: Date;
  readonly table: Readonly<Record<string, { command: string }>>;
  readonly settings: readonly ProcessSetting[];
}

const RELEASES = sql`
  select r.id, r.version, r.commit, r.image_digest as "imageDigest", r.config_version as "configVersion",
         r.processes as table, r.description, r.created_at as "createdAt", r.cause, r.notes,
         (s.current_release_id = r.id) is true as current, (v.release_id = r.id) is true as serving,
         r.deploy_id as "deployId", d.state as "deployState", r.image_bytes::float8 as "imageBytes",
         r.process_settings as settings
  from api.releases r
    join api.services s on s.id = r.service_id
    left join scheduler.serving v on v.service_id = r.service_id
    left join scheduler.deploys d on d.id = r.deploy_id
  where r.removed_at is null`;

export async function readReleases(db: Db, serviceId: string, limit: number): Promise<Release[]> {
  const found = await sql<ReleaseRow>`
    ${RELEASES} and r.service_id = ${serviceId} order by r.version desc limit ${limit}
  `.execute(db);
  return found.rows.map((row) => {
    const {
      deployId: _deploy,
      deployState: _state,
      imageBytes: _bytes,
      sizes: _sizes,
      ...release
    } = toDetails(row);
    return release;
  });
}

export async function readRelease(
  db: Db | Trx,
  serviceId: string,
  version: number,
): Promise<Details | undefined> {
  const found = await sql<ReleaseRow>`
    ${RELEASES} and r.service_id = ${serviceId} and r.version = ${version}
  `.execute(db);
  return found.rows[0] === undefined ? undefined : toDetails(found.rows[0]);
}

function toDetails({ table, settings, createdAt, ...release }: ReleaseRow): Details {
  return {
    ...release,
    processes: Object.entries(table).map(([process, { command }]) => ({ process, command })),
    sizes: settings.map(({ process, memoryBytes, cpuMillis, diskBytes, healthPath }) => {
      return { process, memoryBytes, cpuMillis, diskBytes, healthPath };
    }),
    createdAt: createdAt.toISOString(),
  };
}

/** What a rollback makes a release of. */
export interface RollbackTarget extends Image {
  readonly version: number;
  readonly configVersion: number;
  readonly settings: readonly ProcessSetting[];
}

const TARGETS = sql`
  select r.version, r.config_version as "configVersion", r.process_settings as settings, r.commit,
         r.image_repository as "imageRepository", r.image_digest as "imageDigest",
         r.image_bytes::float8 as "imageBytes", r.processes, r.profile, r.env, r.tasks
  from api.releases r left join scheduler.deploys d on d.id = r.deploy_id
  where r.removed_at is null`;

/** @returns undefined when there is none of that version, or it was given up */
export async function findTarget(
  db: Db | Trx,
  serviceId: string,
  version: number,
): Promise<RollbackTarget | undefined> {
  const found = await sql<RollbackTarget>`
    ${TARGETS} and r.service_id = ${serviceId} and r.version = ${version}`.execute(db);
  return found.rows[0];
}

/** The newest release before `version` whose deploy succeeded. */
export async function findLastGood(
  db: Db | Trx,
  serviceId: string,
  version: number,
): Promise<RollbackTarget | undefined> {
  const found = await sql<RollbackTarget>`
    ${TARGETS} and r.service_id = ${serviceId} and r.version < ${version} and d.state = 'succeeded'
    order by r.version desc limit 1`.execute(db);
  return found.rows[0];
}

/**
 * Gives up the releases past the limits. The current one, the serving one and those of open deploys always stay.
 *
 * @returns how many were given up
 */
export async function pruneReleases(db: Db): Promise<number> {
  const gone = await sql`
    with kept as (
      select id, service_id, version, deploy_id,
             max(version) over (partition by service_id, image_digest) as image_version
      from api.releases where removed_at is null
    ), ranked as (
      select id, service_id, deploy_id,
             dense_rank() over (partition by service_id order by image_version desc) as image_place,
             row_number() over (partition by service_id order by version desc) as place
      from kept
    )
    update api.releases r set removed_at = now()
    from ranked k join api.services s on s.id = k.service_id
    where r.id = k.id and (k.image_place > ${KEPT_IMAGES} or k.place > ${KEPT_RELEASES})
      and s.current_release_id is distinct from k.id
      and not exists (select 1 from scheduler.serving v where v.release_id = k.id)
      and not exists (select 1 from scheduler.deploys d where d.id = k.deploy_id and d.finished_at is null)
    returning r.id`.execute(db);
  return gone.rows.length;
}
