/** Environments whose jobs or sleeps changed lately. */
import { ACTS_ON_JOBS, type RecordChanges } from "@berth/shared/kit/changed-environments.ts";
import { type Kysely, sql } from "kysely";
import type { RouterTables } from "./tables.ts";

export async function readChanges(db: Kysely<RouterTables>, since: Date): Promise<RecordChanges> {
  const { rows } = await sql<RecordChanges>`
    select (extract(epoch from clock_timestamp()) * 1000)::float8 as "atMs",
           (select max(id)::text from api.audit where action <> all(${ACTS_ON_JOBS}::text[])) as acts,
           array(select environment_id from scheduler.jobs where told_at > ${since}
                 union select s.environment_id from scheduler.sleeps z join api.services s on s.id = z.service_id
                        where z.state_since > ${since}) as environments`.execute(db);
  const [row] = rows;
  if (row === undefined) throw new Error("the record told no time");
  return row;
}
