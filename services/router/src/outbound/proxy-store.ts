/** Proxies of environments, as their hosts tell them. */
import type { ProxyReport } from "@berth/shared/contracts/route.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import { type Kysely, sql } from "kysely";
import type { RouterTables } from "./tables.ts";

/** Keeps all that a host says, and nothing else of it. @returns environments of which something changed */
export async function storeProxies(
  db: Kysely<RouterTables>,
  hostId: HostId,
  told: Readonly<Record<string, ProxyReport>>,
): Promise<string[]> {
  const rows = Object.entries(told).map(([environment_id, report]) => ({ environment_id, ...report }));
  const { rows: changed } = await sql<{ environment_id: string }>`
    with told as (
      select t.environment_id, t.address::inet, t.port, t.names
        from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as t(environment_id text, address text, port int, names text[])),
    gone as (
      delete from environment_proxies p where p.host_id = ${hostId}
         and not exists (select 1 from told t where t.environment_id = p.environment_id)
      returning p.environment_id),
    came as (
      insert into environment_proxies as p (environment_id, host_id, address, port, names)
      select environment_id, ${hostId}, address, port, names from told
      on conflict (environment_id, host_id) do update
         set address = excluded.address, port = excluded.port, names = excluded.names
       where (p.address, p.port, p.names) is distinct from (excluded.address, excluded.port, excluded.names)
      returning p.environment_id)
    select environment_id from gone union select environment_id from came`.execute(db);
  return changed.map((row) => row.environment_id);
}
