/** The network service's own tables as kysely types; other services' tables are read by qualified name. */
import type { Generated } from "kysely";

export interface NetworkTables {
  environments: {
    environment_id: string;
    subnet: string;
    key_generation: Generated<number>;
    created_at: Generated<Date>;
    released_at: Date | null;
  };
  members: {
    environment_id: string;
    host_id: string;
    slice: string;
    port: number;
    public_key: string;
    key_generation: Generated<number>;
    joined_at: Generated<Date>;
    left_at: Date | null;
  };
  people: {
    environment_id: string;
    name: string;
    user_id: string;
    public_key: string;
    address: string;
    created_at: Generated<Date>;
    expires_at: Date;
  };
  mesh_keys: { host_id: string; public_key: string; port: number };
  tables: { name: string; version: number; content: string; changed_at: Generated<Date> };
  applied: { environment_id: string; host_id: string; version: number };
  reports: { host_id: string; at_ms: number; report: string };
}
