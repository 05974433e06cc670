/** The router's own tables as kysely types; other services' tables are read with plain SQL by qualified name. */
import type { OutboxTable } from "@berth/shared/kit/outbox.ts";
import type { Generated } from "kysely";

export interface RouterTables {
  route_tables: {
    environment_id: string;
    version: number;
    sites: string;
    proxies: Generated<string>;
    changed_at: Generated<Date>;
    acknowledged_version: Generated<number>;
    acknowledged_at: Generated<Date | null>;
  };
  route_acks: { host_id: string; environment_id: string; version: number; at_ms: number };
  first_responses: {
    deploy_id: string;
    service_id: string;
    hostname: string;
    host_id: string;
    status: number;
    started_at_ms: number;
    ended_at_ms: number;
    created_at: Generated<Date>;
  };
  outbox: OutboxTable;
}
