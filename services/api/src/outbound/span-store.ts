/** Finished spans, kept for a day and up to a count: enough to show a deploy's trace. */
import type { Span } from "@berth/shared/contracts/telemetry.ts";
import { sql } from "kysely";
import type { Db } from "./tables.ts";

const KEPT_COUNT = 200_000;
const SHOWN_COUNT = 500;

/** A repeat of a span is dropped. */
export async function storeSpans(db: Db, spans: readonly Span[]): Promise<void> {
  if (spans.length === 0) return;
  await sql`
    insert into api.spans (trace_id, span_id, parent_span_id, service, name, started_at_ms, ended_at_ms, status, attributes)
    select s."traceId", s."spanId", s."parentSpanId", s.service, s.name, s."startedAtMs", s."endedAtMs", s.status, s.attributes
    from jsonb_to_recordset(${JSON.stringify(spans)}::jsonb) as s(
      "traceId" text, "spanId" text, "parentSpanId" text, service text, name text,
      "startedAtMs" float8, "endedAtMs" float8, status text, attributes jsonb)
    on conflict do nothing
  `.execute(db);
}

export async function readTrace(db: Db, traceId: string): Promise<Span[]> {
  const found = await sql<Span>`
    select trace_id as "traceId", span_id as "spanId", parent_span_id as "parentSpanId", service, name,
           started_at_ms as "startedAtMs", ended_at_ms as "endedAtMs", status, attributes
    from api.spans where trace_id = ${traceId} order by started_at_ms limit ${SHOWN_COUNT}
  `.execute(db);
  return found.rows;
}

/** Removes what is older than a day, then the oldest beyond the count. */
export async function trimSpans(db: Db): Promise<void> {
  await sql`delete from api.spans where kept_at < now() - interval '24 hours'`.execute(db);
  await sql`
    delete from api.spans where kept_at < (
      select kept_at from api.spans order by kept_at desc offset ${KEPT_COUNT} limit 1)
  `.execute(db);
}
