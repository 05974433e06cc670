/** The scheduler's own tables, as kysely sees them. Other services' tables are read by qualified SQL. */
import type { OutboxTable } from "@berth/shared/kit/outbox.ts";
import type { ColumnType, Generated } from "kysely";

type Json = ColumnType<unknown, string, string>;
type Time = ColumnType<Date, Date | undefined, Date>;

export interface JobsTable {
  id: string;
  org_id: string;
  environment_id: string;
  service_id: string;
  release_id: string;
  deploy_id: string;
  process: string;
  slot: number;
  spec: Json;
  epoch: Generated<number>;
  state: Generated<string>;
  desired: Generated<string>;
  rotation: Generated<string>;
  rotation_since: Generated<Date>;
  leaving: Generated<boolean>;
  away: Generated<boolean>;
  ready: Generated<boolean>;
  host_id: string | null;
  observed_sequence: Generated<number>;
  address: string | null;
  port: number | null;
  restarts_count: Generated<number>;
  exit_code: number | null;
  reason_code: string | null;
  reason: string | null;
  last_lines: Json;
  stages: Json;
  lease_expires_at: Date | null;
  created_at: Time;
  updated_at: Time;
}

export interface DeploysTable {
  id: string;
  service_id: string;
  release_id: string;
  state: string;
  reason_code: string | null;
  reason: string | null;
  plan: Generated<string | null>;
  stages: Json;
  created_at: Time;
  state_since: Time;
  finished_at: Date | null;
}

export interface DecisionsTable {
  id: string;
  job_id: string;
  service_id: string;
  epoch: number;
  outcome: string;
  winner_host_id: string | null;
  answer: Generated<string>;
  candidates: Json;
  common_refusal: string | null;
  decided_at: Time;
}

export interface HostsSeenTable {
  host_id: string;
  state: string;
  last_heartbeat_at: Date;
  boot_id: string;
  heartbeat: Json;
  cloned: ColumnType<unknown, string | undefined, string | null>;
}

export interface Tables {
  jobs: JobsTable;
  deploys: DeploysTable;
  decisions: DecisionsTable;
  hosts_seen: HostsSeenTable;
  serving: { service_id: string; release_id: string };
  leader: { name: string; holder: string; epoch: number; expires_at: Date };
  outbox: OutboxTable;
}
