/** The pod's alarms: those that the scheduler stored, and domains whose proof is missing now. */
import { sql } from "kysely";
import type { Reply } from "../inbound/http/routes.ts";
import type { Db } from "./tables.ts";

type Alarm = Reply<"listAlarms">["alarms"][number];

export async function readAlarms(db: Db, all: boolean, limit: number): Promise<Alarm[]> {
  const found = await sql<Omit<Alarm, "since" | "clearedAt"> & { since: Date; clearedAt: Date | null }>`
    with alarms as (
      select a.code, a.subject, h.name as host, a.detail, a.since, a.cleared_at
        from scheduler.alarms a left join api.hosts h on h.id = a.subject
      union all
      select 'domain-unproved', name, null, failure, failing_since, null
        from api.domain_owners where failing_since is not null)
    select code, subject, host, detail, since, cleared_at as "clearedAt" from alarms
     where cleared_at is null or ${all}
     order by cleared_at is null desc, since desc limit ${limit}`.execute(db);
  return found.rows.map((row) => ({
    ...row,
    since: row.since.toISOString(),
    clearedAt: row.clearedAt?.toISOString() ?? null,
  }));
}
