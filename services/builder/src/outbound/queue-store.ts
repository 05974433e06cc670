/**
 * The queue of builds in PostgreSQL: what enters it, what leaves it without being built, and who gets what next.
 *
 * All of it runs under one advisory lock, so several builders decide one after the other: the fair choice counts
 * what really runs, and a service never has two builds at once.
 */
import { BuildFailed } from "@berth/shared/contracts/build.ts";
import type { SourcePushed } from "@berth/shared/contracts/push.ts";
import type { BuildId, DeployId, EnvironmentId, OrgId, ServiceId } from "@berth/shared/domain/ids.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { addToOutbox } from "@berth/shared/kit/outbox.ts";
import { type Selectable, sql } from "kysely";
import type { z } from "zod";
import { type BuildFailure, catalogueCode, describeFailure } from "../core/build-failure.ts";
import { chooseNextBuild } from "../core/choose-next-build.ts";
import type { BuildsTable, Db, Trx } from "./tables.ts";

export type Push = z.infer<typeof SourcePushed.payload> & { readonly traceparent: string | null };

/** Somebody's order to deploy a ready image. */
export interface ImageOrder
  extends Pick<Push, "deployId" | "orgId" | "environmentId" | "serviceId" | "traceparent"> {
  readonly image: string;
  readonly orderedAtMs: number;
}

/** What is made into an image, or taken as one. */
export type BuildSource =
  | { readonly kind: "bundle"; readonly commit: string; readonly bundleKey: string }
  | { readonly kind: "image"; readonly image: string };

export interface ClaimedBuild {
  readonly id: BuildId;
  readonly deployId: DeployId;
  readonly orgId: OrgId;
  readonly environmentId: EnvironmentId;
  readonly serviceId: ServiceId;
  readonly source: BuildSource;
  readonly attempt: number;
  readonly traceparent: string | null;
  readonly queuedAtMs: number;
  readonly startedAtMs: number;
}

export const MAX_ATTEMPTS = 2;
/** Any number that no other part of the builder uses; the lock lives in this database only. */
const QUEUE_LOCK = 7_420_301;
const WAITING_LIMIT = 1000;
const HEAL_LIMIT = 100;

async function locked<T>(db: Db, work: (trx: Trx) => Promise<T>): Promise<T> {
  return await db.transaction().execute(async (trx) => {
    await sql`select pg_advisory_xact_lock(${QUEUE_LOCK})`.execute(trx);
    return await work(trx);
  });
}

/**
 * Puts a push, or the order of an image, into the queue; a repeat of the same deploy changes nothing.
 * A newer one of the service ends the older ones that wait, and asks those that run to stop.
 */
export async function addBuild(db: Db, wanted: Push | ImageOrder): Promise<void> {
  const source =
    "image" in wanted
      ? { image: wanted.image, commit: null, bundle_key: null }
      : { image: null, commit: wanted.commit, bundle_key: wanted.bundleKey };
  const wantedAtMs = "image" in wanted ? wanted.orderedAtMs : wanted.pushedAtMs;
  await locked(db, async (trx) => {
    const id = newId("build");
    const inserted = await trx
      .insertInto("builds")
      .values({
        id,
        deploy_id: wanted.deployId,
        org_id: wanted.orgId,
        environment_id: wanted.environmentId,
        service_id: wanted.serviceId,
        ...source,
        pushed_at: new Date(wantedAtMs),
        traceparent: wanted.traceparent,
        lease_owner: null,
        lease_until: null,
        stop_code: null,
        superseded_by: null,
        reason_code: null,
        reason: null,
        kind: null,
        image_repository: null,
        image_digest: null,
        image_bytes: null,
        processes: null,
        profile: null,
        app_config: null,
        started_at: null,
        finished_at: null,
      })
      .onConflict((conflict) => conflict.column("deploy_id").doNothing())
      .returning("id")
      .execute();
    if (inserted.length === 1) await supersedeOlder(trx, wanted.serviceId);
  });
}

/** Every open build of the service but the newest push's. */
async function supersedeOlder(trx: Trx, serviceId: ServiceId): Promise<void> {
  const rows = await trx
    .selectFrom("builds")
    .selectAll()
    .where("service_id", "=", serviceId)
    .orderBy("pushed_at", "desc")
    .orderBy("deploy_id", "desc")
    .limit(50)
    .execute();
  const [newest, ...older] = rows;
  if (newest === undefined) return;
  const by = newest.commit?.slice(0, 12) ?? newest.image ?? "a later deploy";
  for (const row of older) {
    if (row.state === "queued") await endBuild(trx, row, { code: "superseded", by });
    if (row.state === "running" && row.stop_code === null) {
      const values = { stop_code: "superseded" as const, superseded_by: by };
      await trx.updateTable("builds").set(values).where("id", "=", row.id).execute();
    }
  }
}

/** Pushes whose message never came: the git service's rows are the record. */
export async function addMissedPushes(db: Db): Promise<number> {
  const missed = await sql<Push>`
    select p.deploy_id as "deployId", p.org_id as "orgId", p.environment_id as "environmentId",
           p.service_id as "serviceId", p.commit, p.bundle_key as "bundleKey", p.bundle_bytes as "bundleBytes",
           (extract(epoch from p.created_at) * 1000)::float8 as "pushedAtMs", p.traceparent
    from git.pushes p
    where not exists (select 1 from builds b where b.deploy_id = p.deploy_id)
    order by p.created_at
    limit ${HEAL_LIMIT}
  `.execute(db);
  for (const push of missed.rows) await addBuild(db, push);
  return missed.rows.length;
}

/** Orders of images whose message never came: the api's rows are the record. */
export async function addMissedImages(db: Db): Promise<number> {
  const missed = await sql<ImageOrder>`
    select o.deploy_id as "deployId", o.org_id as "orgId", o.environment_id as "environmentId",
           o.service_id as "serviceId", o.image, (extract(epoch from o.created_at) * 1000)::float8 as "orderedAtMs",
           o.traceparent
    from api.image_orders o
    where not exists (select 1 from builds b where b.deploy_id = o.deploy_id)
    order by o.created_at
    limit ${HEAL_LIMIT}
  `.execute(db);
  for (const order of missed.rows) await addBuild(db, order);
  return missed.rows.length;
}

/** Carries out the api's cancel orders: waiting builds end, running ones are asked to stop. */
export async function applyCancels(db: Db): Promise<void> {
  const wanted = await sql<{ id: BuildId; code: "cancelled" | "superseded" }>`
    select b.id, c.reason_code as code
    from builds b join api.deploy_cancels c on c.deploy_id = b.deploy_id
    where b.state in ('queued', 'running') and b.stop_code is null
  `.execute(db);
  for (const { id, code } of wanted.rows) {
    await locked(db, async (trx) => {
      const row = await trx
        .selectFrom("builds")
        .selectAll()
        .where("id", "=", id)
        .forUpdate()
        .executeTakeFirst();
      if (row?.state === "queued") await endBuild(trx, row, stopFailure(code, null));
      if (row?.state === "running") {
        await trx.updateTable("builds").set({ stop_code: code }).where("id", "=", id).execute();
      }
    });
  }
}

/**
 * Deals with running builds whose builder is gone: its lease ended, or it is this very builder after a restart.
 * They wait again, or end when they were asked to stop or were tried often enough.
 */
export async function reclaimAbandoned(db: Db, restartedOwner: string | null): Promise<number> {
  return await locked(db, async (trx) => {
    const rows = await trx
      .selectFrom("builds")
      .selectAll()
      .where("state", "=", "running")
      .where((where) =>
        where.or([
          where("lease_until", "<", sql<Date>`now()`),
          where("lease_owner", "=", restartedOwner ?? ""),
        ]),
      )
      .forUpdate()
      .execute();
    for (const row of rows) {
      if (row.stop_code !== null) await endBuild(trx, row, stopFailure(row.stop_code, row.superseded_by));
      else if (row.attempt >= MAX_ATTEMPTS)
        await endBuild(trx, row, { code: "abandoned", attempts: row.attempt });
      else await requeue(trx, row.id, row.attempt, "-----> The builder went away; the build starts again\n");
    }
    return rows.length;
  });
}

async function requeue(trx: Trx, id: BuildId, attempt: number, line: string): Promise<void> {
  await trx
    .updateTable("builds")
    .set({ state: "queued", attempt, lease_owner: null, lease_until: null, log: sql`log || ${line}` })
    .where("id", "=", id)
    .execute();
}

/** Gives a build back that this builder cannot finish because it is shutting down; it does not count as tried. */
export async function giveBack(db: Db, build: ClaimedBuild): Promise<void> {
  await locked(db, async (trx) => {
    const row = await trx
      .selectFrom("builds")
      .selectAll()
      .where("id", "=", build.id)
      .forUpdate()
      .executeTakeFirst();
    if (row === undefined || row.state !== "running" || row.attempt !== build.attempt) return;
    await requeue(trx, row.id, row.attempt - 1, "-----> The builder is restarting; the build starts again\n");
  });
}

/** The next build for this builder, by the fair order, or null. */
export async function claimNext(db: Db, owner: string, leaseMs: number): Promise<ClaimedBuild | null> {
  return await locked(db, async (trx) => {
    const open = await trx
      .selectFrom("builds")
      .select(["id", "org_id as orgId", "service_id as serviceId", "state", "created_at"])
      .where("state", "in", ["queued", "running"])
      .orderBy("created_at")
      .limit(WAITING_LIMIT)
      .execute();
    const waiting = open.filter((row) => row.state === "queued");
    const running = open.filter((row) => row.state === "running");
    const next = chooseNextBuild(
      waiting.map((row) => ({ ...row, queuedAtMs: row.created_at.getTime() })),
      running,
    );
    if (next === null) return null;
    const row = await trx
      .updateTable("builds")
      .set({
        state: "running",
        attempt: sql`attempt + 1`,
        lease_owner: owner,
        lease_until: sql<Date>`now() + ${leaseMs} * interval '1 millisecond'`,
        started_at: sql<Date>`clock_timestamp()`,
      })
      .where("id", "=", next.id as BuildId)
      .where("state", "=", "queued")
      .returningAll()
      .executeTakeFirstOrThrow();
    return claimed(row);
  });
}

function claimed(row: Selectable<BuildsTable>): ClaimedBuild {
  return {
    id: row.id,
    deployId: row.deploy_id,
    orgId: row.org_id,
    environmentId: row.environment_id,
    serviceId: row.service_id,
    source: sourceOf(row),
    attempt: row.attempt,
    traceparent: row.traceparent,
    queuedAtMs: row.created_at.getTime(),
    startedAtMs: row.started_at?.getTime() ?? row.created_at.getTime(),
  };
}

function sourceOf({ image, commit, bundle_key: bundleKey }: Selectable<BuildsTable>): BuildSource {
  if (image !== null) return { kind: "image", image };
  if (commit === null || bundleKey === null) throw new Error("a build has neither an image nor a bundle");
  return { kind: "bundle", commit, bundleKey };
}

export function stopFailure(code: "cancelled" | "superseded", by: string | null): BuildFailure {
  return code === "cancelled" ? { code } : { code, by: by ?? "see the service's deploys" };
}

/** Ends a build without an image: row and fact in the caller's transaction. */
export async function endBuild(trx: Trx, row: Selectable<BuildsTable>, failure: BuildFailure): Promise<void> {
  const state = failure.code === "cancelled" || failure.code === "superseded" ? failure.code : "failed";
  const reasonCode = catalogueCode(failure);
  const reason = describeFailure(failure).slice(0, 2000);
  await trx
    .updateTable("builds")
    .set({
      state,
      reason_code: reasonCode,
      reason,
      lease_owner: null,
      lease_until: null,
      finished_at: sql<Date>`clock_timestamp()`,
    })
    .where("id", "=", row.id)
    .execute();
  await addToOutbox(trx, BuildFailed, { ...eventKey(row), state, reasonCode, reason }, row.traceparent);
}

export function eventKey(row: Selectable<BuildsTable>) {
  return {
    buildId: row.id,
    deployId: row.deploy_id,
    orgId: row.org_id,
    environmentId: row.environment_id,
    serviceId: row.service_id,
    commit: row.commit,
  };
}

/** Services that built lately: only their caches are kept. Null when nothing is known, which removes nothing. */
export async function servicesWithBuildsSince(db: Db, sinceMs: number): Promise<ReadonlySet<string> | null> {
  const rows = await db
    .selectFrom("builds")
    .select("service_id")
    .distinct()
    .where("created_at", ">", new Date(sinceMs))
    .execute();
  return rows.length === 0 ? null : new Set(rows.map((row) => row.service_id));
}
