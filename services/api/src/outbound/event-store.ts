/**
 * The history as one list: what happened (scheduler.events) and who did what (api.audit).
 *
 * What must stay true: a member finds only rows of the orgs that the caller is a member of, in the same statement;
 * rows without an org are the operators' alone.
 */
import { type RawBuilder, sql } from "kysely";
import { describeEvent } from "../core/describe-event.ts";
import type { Query, Reply } from "../inbound/http/routes.ts";
import type { Caller } from "./reach-store.ts";
import type { Db } from "./tables.ts";

export type HistoryEvent = Reply<"watchEvents">;
export type EventFilter = Query<"watchEvents">;

interface Row extends Omit<HistoryEvent, "text"> {
  readonly atUs: string;
}

export interface EventPage {
  readonly limit: number;
  /** `<µs>-<id>` of the last event of the page before. */
  readonly before?: string | undefined;
}

/** Newest first. `next` is null when there is nothing older. */
export async function readEvents(
  db: Db,
  caller: Pick<Caller, "userId" | "isOperator">,
  filter: EventFilter,
  page: EventPage,
): Promise<{ events: HistoryEvent[]; next: string | null }> {
  const rows = (await statement(caller, filter, page).execute(db)).rows;
  const shown = rows.slice(0, page.limit);
  const last = shown.at(-1);
  const next = rows.length > page.limit && last !== undefined ? `${last.atUs}-${last.id}` : null;
  return { events: shown.map(toEvent), next };
}

function toEvent({ atUs: _atUs, ...row }: Row): HistoryEvent {
  return { ...row, text: describeEvent(row) };
}

const EVENTS = sql`
  select 'e' as source, e.id, e.at, e.kind, e.org_id, e.environment_id, e.service_id, e.host_id, e.instance,
         e.deploy_id, e.job_id, null as actor, e.details
    from scheduler.events e`;

/** What an act was about is its target; a deploy's and a variable's service are found by it too. */
const ACTS = sql`
  select 'a', a.id, a.at, 'act.' || a.action, a.org_id, coalesce(s.environment_id, case when a.target like 'env\_%' then a.target end),
         s.id, case when a.target like 'hst\_%' then a.target end, null,
         case when a.target like 'dep\_%' then a.target end, null, coalesce(u.email, a.actor), a.details
    from api.audit a
      left join api.users u on u.id = a.actor
      left join scheduler.deploys d on d.id = a.target
      left join api.services s on s.id = coalesce(d.service_id, a.target)`;

function statement(
  caller: Pick<Caller, "userId" | "isOperator">,
  filter: EventFilter,
  page: EventPage,
): RawBuilder<Row> {
  const mine = caller.isOperator
    ? sql`true`
    : sql`f.org_id in (select org_id from api.members where user_id = ${caller.userId})`;
  const conditions = [mine, ...filterConditions(filter), ...pageConditions(page)];
  return sql<Row>`
    select f.source || f.id as id, (extract(epoch from f.at) * 1000)::float8 as "atMs", f.kind, o.name as org, en.name as environment,
           s.name as service, h.name as host, f.instance, f.deploy_id as "deployId", f.job_id as "jobId", f.actor, f.details,
           (extract(epoch from f.at) * 1000000)::bigint::text as "atUs"
      from (${EVENTS} union all ${ACTS}) f
        left join api.orgs o on o.id = f.org_id
        left join api.environments en on en.id = f.environment_id
        left join api.services s on s.id = f.service_id
        left join api.hosts h on h.id = f.host_id
     where ${sql.join(conditions, sql` and `)}
     order by f.at desc, f.source desc, f.id desc limit ${page.limit + 1}`;
}

function filterConditions(filter: EventFilter): RawBuilder<unknown>[] {
  const { org, environment, service, host, sinceMs } = filter;
  return [
    ...(org === undefined ? [] : [sql`o.name = ${org}`]),
    ...(environment === undefined ? [] : [sql`en.name = ${environment}`]),
    ...(service === undefined ? [] : [sql`s.name = ${service}`]),
    ...(host === undefined ? [] : [sql`h.name = ${host}`]),
    ...(sinceMs === undefined ? [] : [sql`f.at > to_timestamp(${sinceMs}::float8 / 1000)`]),
  ];
}

function pageConditions({ before }: EventPage): RawBuilder<unknown>[] {
  const match = /^(\d+)-([ae])(\d+)$/.exec(before ?? "");
  if (match === null) return [];
  const [, atUs, source, id] = match;
  return [
    sql`((extract(epoch from f.at) * 1000000)::bigint, f.source, f.id) < (${atUs}::bigint, ${source}, ${id}::bigint)`,
  ];
}
