/** Proxies of environments, as their hosts tell them. */
import type { ProxyReport } from "@berth/shared/contracts/route.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import { type Kysely, type RawBuilder, sql } from "kysely";
import type { ProxyRow } from "../core/plan-tables.ts";
import type { RouterTables } from "./tables.ts";

/**
 * Those of live hosts, at an address of the host's own part of the environment's network: no host can draw an
 * environment's traffic that it is not in.
 */
export async function readProxies(
  db: Kysely<RouterTables>,
  liveHosts: RawBuilder<unknown>,
): Promise<ProxyRow[]> {
  const { rows } = await sql<ProxyRow>`
    select p.environment_id as "environmentId", p.host_id as "hostId", host(p.address) as address, p.port, p.names
      from environment_proxies p
      join network.members m on m.environment_id = p.environment_id and m.host_id = p.host_id
       and m.left_at is null and p.address << m.slice
     where p.host_id in (${liveHosts})`.execute(db);
  return rows;
}

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
