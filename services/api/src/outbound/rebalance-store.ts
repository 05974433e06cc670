/** Rebalances: the operators' orders (ours), and what the scheduler made of them. */
import type { PlannedMove } from "@berth/shared/contracts/rebalance.ts";
import { sql } from "kysely";
import type { z } from "zod";
import type { Reply } from "../inbound/http/routes.ts";
import type { Db, Trx } from "./tables.ts";

type Rebalance = Reply<"listRebalances">["rebalances"][number];
type Move = Reply<"planRebalance">["moves"][number];

export async function storeRebalance(trx: Trx, id: string, userId: string): Promise<void> {
  await sql`insert into api.rebalances (id, requested_by) values (${id}, ${userId})`.execute(trx);
}

const MOST_KEPT_SHOWN = 10;

export async function readRebalances(db: Db): Promise<Rebalance[]> {
  type Row = Omit<Rebalance, "startedAt" | "finishedAt"> & {
    startedAt: Date | null;
    finishedAt: Date | null;
  };
  const found = await sql<Row>`
    with known as (
      select coalesce(b.id, r.id) as id, coalesce(b.cause, 'requested') as cause, coalesce(b.state, 'waiting') as state,
             b.reason, b.started_at, b.finished_at, coalesce(b.started_at, r.created_at) as at
        from scheduler.rebalances b full join api.rebalances r on r.id = b.id order by at desc limit ${MOST_KEPT_SHOWN})
    select k.id, k.cause, k.state, k.reason, k.started_at as "startedAt", k.finished_at as "finishedAt",
           coalesce((select jsonb_agg(jsonb_build_object(
               'service', o.name || '/' || e.name || '/' || s.name, 'instance', m.process || '.' || m.slot,
               'from', coalesce(f.name, m.from_host_id), 'to', coalesce(t.name, m.to_host_id), 'gain', m.gain,
               'reason', m.reason, 'state', m.state, 'startedAt', m.started_at) order by m.id)
             from scheduler.moves m
               join api.services s on s.id = m.service_id join api.environments e on e.id = s.environment_id
               join api.orgs o on o.id = s.org_id
               left join api.hosts f on f.id = m.from_host_id left join api.hosts t on t.id = m.to_host_id
            where m.rebalance_id = k.id), '[]') as moves
      from known k order by k.at desc`.execute(db);
  return found.rows.map((row) => ({
    ...row,
    startedAt: row.startedAt?.toISOString() ?? null,
    finishedAt: row.finishedAt?.toISOString() ?? null,
  }));
}

/** The plan with names instead of ids. */
export async function nameMoves(db: Db, moves: readonly z.infer<typeof PlannedMove>[]): Promise<Move[]> {
  const services = await sql<{ id: string; name: string }>`
    select s.id, o.name || '/' || e.name || '/' || s.name as name from api.services s
      join api.environments e on e.id = s.environment_id join api.orgs o on o.id = s.org_id
     where s.id = any(${moves.map((move) => move.serviceId)})`.execute(db);
  const hosts = await sql<{ id: string; name: string }>`select id, name from api.hosts`.execute(db);
  const names = new Map([...services.rows, ...hosts.rows].map(({ id, name }) => [id, name]));
  return moves.map((move) => ({
    service: names.get(move.serviceId) ?? move.serviceId,
    instance: `${move.process}.${move.slot}`,
    from: names.get(move.fromHostId) ?? move.fromHostId,
    to: names.get(move.toHostId) ?? move.toHostId,
    gain: move.gain,
    reason: move.reason,
  }));
}
