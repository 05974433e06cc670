/** The pod's alarms, as the scheduler stored them. */
import { sql } from "kysely";
import type { Reply } from "../inbound/http/routes.ts";
import type { Db } from "./tables.ts";

type Alarm = Reply<"listAlarms">["alarms"][number];

export async function readAlarms(db: Db, all: boolean, limit: number): Promise<Alarm[]> {
  const found = await sql<Omit<Alarm, "since" | "clearedAt"> & { since: Date; clearedAt: Date | null }>`
    select a.code, a.subject, h.name as host, a.detail, a.since, a.cleared_at as "clearedAt"
      from scheduler.alarms a left join api.hosts h on h.id = a.subject
     where a.cleared_at is null or ${all}
     order by a.cleared_at is null desc, a.since desc limit ${limit}`.execute(db);
  return found.rows.map((row) => ({
    ...row,
    since: row.since.toISOString(),
    clearedAt: row.clearedAt?.toISOString() ?? null,
  }));
}
