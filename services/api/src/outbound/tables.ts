/** The api's own tables as kysely types; other services' tables are read with plain SQL by qualified name. */
import type { ReleaseCause } from "@berth/shared/contracts/release.ts";
import type { Autoscale } from "@berth/shared/domain/autoscale.ts";
import type { OutboxTable } from "@berth/shared/kit/outbox.ts";
import type { ColumnType, Generated, Kysely, Transaction } from "kysely";

type Json = string;

export interface ApiTables {
  orgs: { id: string; name: string; created_at: Generated<Date> };
  users: { id: string; email: string; is_operator: Generated<boolean>; created_at: Generated<Date> };
  members: { org_id: string; user_id: string; role: "owner" | "member" };
  tokens: {
    id: string;
    user_id: string;
    name: string;
    hash: string;
    created_at: Generated<Date>;
    expires_at: Date | null;
    revoked_at: Date | null;
  };
  environments: {
    id: string;
    org_id: string;
    name: string;
    pod: Generated<string>;
    created_at: Generated<Date>;
    deleted_at: Generated<Date | null>;
  };
  pods: { name: string; strategy: Generated<"spread" | "binpack">; created_at: Generated<Date> };
  services: {
    id: string;
    org_id: string;
    environment_id: string;
    name: string;
    kind: Generated<"code">;
    hostname_label: string;
    deploy_branch: string;
    health_path: string | null;
    current_release_id: Generated<string | null>;
    config_version: Generated<number>;
    policy: ColumnType<unknown, string | undefined, string>;
    http: ColumnType<unknown, string | undefined, string>;
    maintenance_since: Generated<Date | null>;
    created_at: Generated<Date>;
    deleted_at: Generated<Date | null>;
  };
  processes: {
    service_id: string;
    process: string;
    scale: number;
    memory_bytes: number;
    cpu_millis: number;
    disk_bytes: Generated<number>;
    health_path: string | null;
    start_deadline_ms: Generated<number | null>;
    stop_grace_ms: Generated<number | null>;
    canary: Generated<number | null>;
    batch: Generated<number | null>;
    min_ready_ms: Generated<number | null>;
    autoscale: ColumnType<Autoscale | null, string | null | undefined, string | null>;
  };
  task_orders: {
    id: string;
    service_id: string;
    kind: "run" | "cron";
    name: string | null;
    command: string;
    deadline_ms: number;
    requested_by: string;
    cancelled_at: Date | null;
    created_at: Generated<Date>;
  };
  image_orders: {
    deploy_id: string;
    org_id: string;
    environment_id: string;
    service_id: string;
    image: string;
    requested_by: string;
    traceparent: string | null;
    created_at: Generated<Date>;
  };
  releases: {
    id: string;
    service_id: string;
    version: number;
    deploy_id: string;
    commit: string | null;
    image_repository: string;
    image_digest: string;
    image_bytes: number;
    processes: Json;
    profile: Json;
    config_version: number;
    process_settings: Json;
    description: string;
    cause: ReleaseCause;
    traceparent: string | null;
    stages: Json;
    created_at: Generated<Date>;
    notes: Generated<string>;
    removed_at: Generated<Date | null>;
    env: Json;
    tasks: Json;
  };
  restarts: { service_id: string; process: string; requested_at: Generated<Date> };
  deploy_cancels: {
    deploy_id: string;
    reason_code: Generated<"cancelled" | "superseded">;
    requested_by: string;
    created_at: Generated<Date>;
  };
  hosts: {
    id: string;
    name: string;
    node_address: string;
    subnet: string;
    zone: string;
    agent_key: string;
    logshipper_key: string;
    curve_key: string;
    joined_at: Generated<Date>;
    removed_at: Generated<Date | null>;
    cordoned: Generated<boolean>;
    draining: Generated<boolean>;
    labels: ColumnType<Record<string, string>, string | undefined, string>;
    dedicated_to: Generated<string | null>;
    pod: Generated<string>;
    identity_resolved_at: Generated<Date | null>;
    address_changes: Generated<number>;
  };
  join_tokens: {
    hash: string;
    expires_at: Date;
    used_at: Generated<Date | null>;
    created_by: string;
    pod: Generated<string>;
    zone: string | null;
    created_at: Generated<Date>;
  };
  audit: {
    id: Generated<number>;
    at: Generated<Date>;
    org_id: string | null;
    actor: string;
    token_id: string | null;
    action: string;
    target: string;
    request_id: string | null;
    remote_address: string | null;
    details: Json;
  };
  outbox: OutboxTable;
}

export type Db = Kysely<ApiTables>;
export type Trx = Transaction<ApiTables>;

/** Name of the unique or exclusion constraint that an insert hit, or null for any other error. */
export function violatedConstraint(error: unknown): string | null {
  const { code, constraint } = (error ?? {}) as { code?: unknown; constraint?: unknown };
  return (code === "23505" || code === "23P01") && typeof constraint === "string" ? constraint : null;
}
