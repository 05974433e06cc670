/** The builder's own tables, as kysely sees them. */
import type { BuildKind, BuildState, ImageProfile, ProcessTable } from "@berth/shared/contracts/build.ts";
import type { AppConfig } from "@berth/shared/domain/app-config.ts";
import type { Stage } from "@berth/shared/domain/deploy-state.ts";
import type { BuildId, DeployId, EnvironmentId, OrgId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { OutboxTable } from "@berth/shared/kit/outbox.ts";
import type { ColumnType, Generated, Kysely, Transaction } from "kysely";

type JsonOrNull<T> = ColumnType<T | null, string | null, string | null>;
type Time = ColumnType<Date, Date, Date>;

export interface BuildsTable {
  id: BuildId;
  deploy_id: DeployId;
  org_id: OrgId;
  environment_id: EnvironmentId;
  service_id: ServiceId;
  /** Both null when a ready image is taken; then `image` names it. */
  commit: string | null;
  bundle_key: string | null;
  image: string | null;
  pushed_at: Time;
  traceparent: string | null;
  state: Generated<BuildState>;
  attempt: Generated<number>;
  lease_owner: string | null;
  lease_until: Date | null;
  stop_code: "cancelled" | "superseded" | null;
  superseded_by: string | null;
  reason_code: string | null;
  reason: string | null;
  kind: BuildKind | null;
  image_repository: string | null;
  image_digest: string | null;
  image_bytes: number | null;
  processes: JsonOrNull<ProcessTable>;
  profile: JsonOrNull<ImageProfile>;
  app_config: JsonOrNull<AppConfig>;
  stages: ColumnType<Stage[], string | undefined, string>;
  log: Generated<string>;
  created_at: Generated<Date>;
  started_at: Date | null;
  finished_at: Date | null;
}

export interface Tables {
  builds: BuildsTable;
  outbox: OutboxTable;
}

export type Db = Kysely<Tables>;
export type Trx = Transaction<Tables>;
