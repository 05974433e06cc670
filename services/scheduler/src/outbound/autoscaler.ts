/**
 * Looks at every count that follows its load, and keeps what it should be with the reason. The planner reads it as the
 * wish (the view `wishes`); a count that its owner set to 0 follows nothing.
 */
import { GetHostUsage } from "@berth/shared/contracts/host.ts";
import { Autoscale } from "@berth/shared/domain/autoscale.ts";
import type { HostId, JobId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import { type Kysely, sql } from "kysely";
import { decideScale } from "../core/autoscale.ts";
import type { LoadBook } from "../core/load-book.ts";
import type { Leadership } from "./leader.ts";
import type { Tables } from "./tables.ts";

export const AUTOSCALE_EVERY_MS = 5000;

interface Given {
  readonly db: Kysely<Tables>;
  readonly leadership: Leadership;
  readonly bus: Pick<Bus, "request">;
  readonly log: Log;
  readonly loads: LoadBook;
  /** A count changed. */
  readonly changed: () => void;
}

interface Row {
  readonly service_id: ServiceId;
  readonly process: string;
  readonly rule: unknown;
  readonly cpu_millis: number;
  readonly current: number;
  readonly changed_at: Date | null;
  readonly jobs: { readonly id: JobId; readonly host: HostId }[] | null;
}

/** Services that sleep, or that nothing of runs, have no load. */
const FOLLOWED = sql<Row>`
  select p.service_id, p.process, p.autoscale as rule, p.cpu_millis, w.scale as current, a.changed_at,
         (select jsonb_agg(jsonb_build_object('id', j.id, 'host', j.host_id)) from jobs j
           where j.service_id = p.service_id and j.process = p.process and j.state = 'running' and j.ready) as jobs
    from api.processes p
    join api.services s on s.id = p.service_id and s.deleted_at is null
    join serving v on v.service_id = s.id
    join wishes w on w.service_id = p.service_id and w.process = p.process
    left join autoscales a on a.service_id = p.service_id and a.process = p.process
    left join sleeps z on z.service_id = s.id
   where p.autoscale is not null and p.scale > 0 and coalesce(z.state, 'awake') = 'awake'`;

export function createAutoscaler(given: Given) {
  return async (): Promise<void> => {
    if (given.leadership.epoch === null) return;
    const { rows } = await FOLLOWED.execute(given.db);
    if (rows.length === 0) return;
    const edges = await liveHosts(given.db);
    const cpu = await cpuOfJobs(given, rows);
    let changes = false;
    for (const row of rows) changes = (await look(given, row, edges, cpu)) || changes;
    if (changes) given.changed();
  };
}

async function look(
  { db, leadership, loads }: Given,
  row: Row,
  edges: readonly HostId[],
  cpu: ReadonlyMap<string, number>,
): Promise<boolean> {
  const nowMs = Date.now();
  const shares = (row.jobs ?? []).flatMap(({ id }) => {
    const used = cpu.get(id);
    return used === undefined ? [] : [used / row.cpu_millis];
  });
  const load = {
    inFlight: row.process === "web" ? loads.inFlight(row.service_id, edges, nowMs) : null,
    cpuShare: shares.length === 0 ? null : shares.reduce((sum, share) => sum + share, 0) / shares.length,
  };
  const { current, changed_at: changedAt } = row;
  const rule = Autoscale.parse(row.rule);
  const { to, reason } = decideScale({ rule, current, load, changedAtMs: changedAt?.getTime() ?? 0 }, nowMs);
  await db.transaction().execute(async (trx) => {
    await leadership.fence(trx);
    await sql`
      insert into autoscales (service_id, process, scale, reason) values (${row.service_id}, ${row.process}, ${to}, ${reason})
      on conflict (service_id, process) do update set scale = excluded.scale, reason = excluded.reason,
        looked_at = clock_timestamp(),
        changed_at = case when autoscales.scale = excluded.scale then autoscales.changed_at else clock_timestamp() end`.execute(
      trx,
    );
  });
  return to !== current;
}

async function liveHosts(db: Kysely<Tables>): Promise<HostId[]> {
  const { rows } = await sql<{ id: HostId }>`
    select h.id from api.hosts h join hosts_seen s on s.host_id = h.id where h.removed_at is null and s.state <> 'lost'`.execute(
    db,
  );
  return rows.map(({ id }) => id);
}

/** Thousandths of a CPU per job. A host that does not answer leaves its jobs out. */
async function cpuOfJobs({ bus, log }: Given, rows: readonly Row[]): Promise<ReadonlyMap<string, number>> {
  const asked = rows
    .filter(({ rule }) => Autoscale.parse(rule).cpu !== null)
    .flatMap(({ jobs }) => jobs ?? []);
  const used = new Map<string, number>();
  const hosts = new Set(asked.map(({ host }) => host));
  await Promise.all(
    [...hosts].map(async (hostId) => {
      try {
        const { jobs } = await bus.request(GetHostUsage, { hostId });
        for (const { jobId, cpuMillis } of jobs) used.set(jobId, cpuMillis);
      } catch (error) {
        log.warn("autoscale.host-unheard", { hostId, error: describeError(error) });
      }
    }),
  );
  return used;
}
