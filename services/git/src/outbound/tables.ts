/** The tables that this service owns. Other schemas are read by qualified name in `directory.ts` and `deploy-overview.ts`. */
import type { OutboxTable } from "@berth/shared/kit/outbox.ts";
import type { Generated } from "kysely";

export interface PushTable {
  deploy_id: string;
  org_id: string;
  environment_id: string;
  service_id: string;
  user_id: string | null;
  commit: string;
  ref: string;
  bundle_key: string;
  bundle_bytes: number;
  /** JSON of `Stage[]`. */
  stages: string;
  traceparent: string | null;
  created_at: Generated<Date>;
}

export interface BundleAttemptTable {
  deploy_id: string;
  bundle_key: string;
  created_at: Generated<Date>;
}

export interface GitTables {
  pushes: PushTable;
  bundle_attempts: BundleAttemptTable;
  outbox: OutboxTable;
}
