/** The alarms as stored: what operators see is what the leader judged last. */
import type { Transaction } from "kysely";
import { sql } from "kysely";
import { type Alarm, type AlarmChanges, compareAlarms } from "../core/judge-alarms.ts";
import type { Tables } from "./tables.ts";

/** @returns what changed */
export async function storeAlarms(trx: Transaction<Tables>, wanted: readonly Alarm[]): Promise<AlarmChanges> {
  const open = await sql<Alarm>`select code, subject, detail from alarms where cleared_at is null`.execute(
    trx,
  );
  const changes = compareAlarms(open.rows, wanted);
  for (const { code, subject, detail } of changes.raised)
    await sql`insert into alarms (code, subject, detail) values (${code}, ${subject}, ${detail})`.execute(
      trx,
    );
  for (const { code, subject, detail } of changes.changed)
    await sql`update alarms set detail = ${detail} where code = ${code} and subject = ${subject} and cleared_at is null`.execute(
      trx,
    );
  for (const { code, subject } of changes.cleared)
    await sql`update alarms set cleared_at = now() where code = ${code} and subject = ${subject} and cleared_at is null`.execute(
      trx,
    );
  return changes;
}
