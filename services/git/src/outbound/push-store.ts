/** The rows of pushes. Inserting one and telling of it is one transaction. */
import { SourcePushed } from "@berth/shared/contracts/push.ts";
import type { Stage } from "@berth/shared/domain/deploy-state.ts";
import type { DeployId, EnvironmentId, OrgId, ServiceId, UserId } from "@berth/shared/domain/ids.ts";
import { DeployId as DeployIdSchema } from "@berth/shared/domain/ids.ts";
import { addToOutbox } from "@berth/shared/kit/outbox.ts";
import type { Kysely } from "kysely";
import { sql } from "kysely";
import type { GitTables } from "./tables.ts";

export interface PushRecord {
  readonly deployId: DeployId;
  readonly orgId: OrgId;
  readonly environmentId: EnvironmentId;
  readonly serviceId: ServiceId;
  readonly userId: UserId | null;
  readonly commit: string;
  readonly ref: string;
  readonly bundleKey: string;
  readonly bundleBytes: number;
  readonly stages: readonly Stage[];
  readonly traceparent: string | null;
}

export interface LatestPush {
  readonly deployId: DeployId;
  readonly commit: string;
}

export class PushStore {
  readonly #db: Kysely<GitTables>;

  constructor(db: Kysely<GitTables>) {
    this.#db = db;
  }

  latest(serviceId: ServiceId): Promise<LatestPush | null> {
    return selectLatest(this.#db, serviceId);
  }

  /** Notes that a bundle is being made, so that an interrupted one can be found. */
  async beginBundle(deployId: DeployId, bundleKey: string): Promise<void> {
    await this.#db
      .insertInto("bundle_attempts")
      .values({ deploy_id: deployId, bundle_key: bundleKey })
      .execute();
  }

  async interruptedBundles(olderThanMs: number): Promise<{ deployId: DeployId; bundleKey: string }[]> {
    const rows = await this.#db
      .selectFrom("bundle_attempts")
      .select(["deploy_id", "bundle_key"])
      .where("created_at", "<", sql<Date>`now() - ${olderThanMs} * interval '1 millisecond'`)
      .limit(100)
      .execute();
    return rows.map((row) => ({ deployId: DeployIdSchema.parse(row.deploy_id), bundleKey: row.bundle_key }));
  }

  async forgetBundle(deployId: DeployId): Promise<void> {
    await this.#db.deleteFrom("bundle_attempts").where("deploy_id", "=", deployId).execute();
  }

  /**
   * Stores the push and the fact, unless another process stored this commit as the service's newest meanwhile.
   * @returns the push that is the newest now
   */
  async insert(push: PushRecord, pushedAtMs: number): Promise<LatestPush> {
    return this.#db.transaction().execute(async (trx) => {
      await sql`select pg_advisory_xact_lock(hashtextextended(${push.serviceId}, 7))`.execute(trx);
      const latest = await selectLatest(trx, push.serviceId);
      if (latest !== null && latest.commit === push.commit) return latest;
      await trx.insertInto("pushes").values(toRow(push)).execute();
      await trx.deleteFrom("bundle_attempts").where("deploy_id", "=", push.deployId).execute();
      const { deployId, orgId, environmentId, serviceId, commit, bundleKey, bundleBytes } = push;
      const fact = { deployId, orgId, environmentId, serviceId, commit, bundleKey, bundleBytes, pushedAtMs };
      await addToOutbox(trx, SourcePushed, fact, push.traceparent);
      return { deployId, commit };
    });
  }
}

async function selectLatest(db: Kysely<GitTables>, serviceId: ServiceId): Promise<LatestPush | null> {
  const row = await db
    .selectFrom("pushes")
    .select(["deploy_id", "commit"])
    .where("service_id", "=", serviceId)
    .orderBy("created_at", "desc")
    .orderBy("deploy_id", "desc")
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? null : { deployId: DeployIdSchema.parse(row.deploy_id), commit: row.commit };
}

function toRow(push: PushRecord) {
  return {
    deploy_id: push.deployId,
    org_id: push.orgId,
    environment_id: push.environmentId,
    service_id: push.serviceId,
    user_id: push.userId,
    commit: push.commit,
    ref: push.ref,
    bundle_key: push.bundleKey,
    bundle_bytes: push.bundleBytes,
    stages: JSON.stringify(push.stages),
    traceparent: push.traceparent,
  };
}
