/** Which version of each environment's network every host holds to, as it said last. */
import type { NetworkApplied } from "@berth/shared/contracts/network.ts";
import { type Kysely, sql } from "kysely";
import type { z } from "zod";
import type { NetworkTables } from "./tables.ts";

type Applied = z.infer<typeof NetworkApplied.payload>;

/** Words about environments that are gone are dropped. */
export async function storeApplied(db: Kysely<NetworkTables>, { hostId, versions }: Applied): Promise<void> {
  const said = JSON.stringify(versions);
  await sql`
    insert into applied (environment_id, host_id, version)
    select e.environment_id, ${hostId}, s.version
      from jsonb_to_recordset(${said}::jsonb) as s ("environmentId" text, version int)
      join environments e on e.environment_id = s."environmentId"
    on conflict (environment_id, host_id) do update set version = excluded.version
      where applied.version <> excluded.version`.execute(db);
}

/** An environment without hosts is held by all of them. */
export async function isHeld(db: Kysely<NetworkTables>, environmentId: string): Promise<boolean> {
  const { rows } = await sql<{ behind: boolean }>`
    select exists (
      select 1 from members m
        join tables t on t.name = m.environment_id
        left join applied a on a.environment_id = m.environment_id and a.host_id = m.host_id
       where m.environment_id = ${environmentId} and m.left_at is null
         and coalesce(a.version, 0) < t.version) as behind`.execute(db);
  return rows[0]?.behind === false;
}
