/** Writes what agents saw into the jobs table. Any scheduler may do it: an observation is a fact, not a decision. */
import type { ObservedJob } from "@berth/shared/contracts/job.ts";
import type { DeployId, HostId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { JobState } from "@berth/shared/domain/job-state.ts";
import { batched } from "@berth/shared/kit/batch.ts";
import { PREPARED } from "@berth/shared/kit/database.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { Kysely, RawBuilder, Transaction } from "kysely";
import { sql } from "kysely";
import { concernsPlan, judgeObservation } from "../core/apply-observation.ts";
import { type HostList, judgeLists, type ListedJob, type ListVerdicts } from "../core/judge-lists.ts";
import { JudgedLists, type RecordCalm } from "../core/judged-lists.ts";
import type { Progress } from "./steps.ts";
import type { Tables } from "./tables.ts";

type Db = Kysely<Tables> | Transaction<Tables>;

interface StoredRow {
  id: string;
  deploy_id: DeployId;
  service_id: ServiceId;
  address: string | null;
  process: string;
  slot: number;
  epoch: number;
  state: JobState;
  ready: boolean;
  rotation: string;
  host_id: HostId | null;
  observed_sequence: number;
  restartsCount: number;
  reasonCode: string | null;
}

const COLUMNS = sql`id, deploy_id, service_id, address, process, slot, epoch, state, ready, rotation, host_id, observed_sequence,
  restarts_count as "restartsCount", reason_code as "reasonCode"`;

export interface Taken {
  /** Whether a plan may depend on what changed. */
  readonly concernsPlan: boolean;
  /** The service whose routes may have to change, when readiness or the address did. */
  readonly routesOf: ServiceId | null;
  readonly told: Progress[];
}

export interface Observations {
  /** @returns whom it concerns, with lines for the pusher */
  take(hostId: HostId, observed: ObservedJob): Promise<Taken>;
  /**
   * Heartbeats' whole lists: what a host did not hold then is over. A list that is repeated is judged again while the record
   * changes, for a while after that, and once a minute.
   * @returns true when something changed
   */
  takeLists(lists: readonly HostList[]): Promise<boolean>;
}

interface Given {
  readonly db: Kysely<Tables>;
  readonly log: Log;
}

interface Observation {
  readonly hostId: HostId;
  readonly observed: ObservedJob;
}

type Outcome = { readonly taken: Taken } | { readonly error: unknown };

/** Observations that one transaction takes: those that came while the one before was under way. */
const MOST_TOGETHER = 32;

export function createObservations(given: Given): Observations {
  const judged = new JudgedLists();
  const take = batched((all: readonly Observation[]) => takeAll(given, all), MOST_TOGETHER);
  return {
    take: async (hostId, observed) => {
      const outcome = await take({ hostId, observed });
      if ("error" in outcome) throw outcome.error;
      return outcome.taken;
    },
    takeLists: async (lists) => {
      const due = judged.due(lists, await readCalm(given.db), performance.now());
      if (due.length === 0) return false;
      return takeLists(given, due).catch((error: unknown) => {
        judged.forget(due);
        throw error;
      });
    },
  };
}

/** Each alone where all together fail: one that cannot be stored must not keep the others from being told. */
async function takeAll(given: Given, all: readonly Observation[]): Promise<readonly Outcome[]> {
  try {
    return (await takeTogether(given, all)).map((taken) => ({ taken }));
  } catch (error) {
    if (all.length === 1) return [{ error }];
    const outcomes: Outcome[] = [];
    for (const one of all) outcomes.push(...(await takeAll(given, [one])));
    return outcomes;
  }
}

/** In one transaction, each seeing what the one before it left. */
function takeTogether({ db, log }: Given, all: readonly Observation[]): Promise<readonly Taken[]> {
  return db.transaction().execute(async (trx) => {
    const ids = all.map(({ observed }) => observed.jobId);
    const { rows } =
      await sql<StoredRow>`select ${COLUMNS} from jobs where id = any(${ids}) order by id for update`.execute(
        trx,
      );
    const known = new Map(rows.map((row) => [row.id, row]));
    /** By job: a later one of the same job takes its place. */
    const stored = new Map<string, ObservedJob>();
    const results = all.map(({ hostId, observed }): Taken => {
      const row = known.get(observed.jobId);
      if (row === undefined || !isTaken(log, row, hostId, observed)) return NOTHING;
      known.set(row.id, { ...row, ...asStored(observed) });
      stored.set(row.id, observed);
      return takenFrom(row, observed);
    });
    await storeObserved(trx, [...stored.values()]);
    return results;
  });
}

function asStored(observed: ObservedJob) {
  const { state, address, sequence, restartsCount, reasonCode } = observed;
  return {
    ...{ state, address, restartsCount, reasonCode },
    ready: isReady(observed),
    observed_sequence: sequence,
  };
}

const NOTHING: Taken = { concernsPlan: false, routesOf: null, told: [] };

function isTaken(log: Log, row: StoredRow, hostId: HostId, observed: ObservedJob): boolean {
  const stored = { ...row, hostId: row.host_id, observedSequence: row.observed_sequence };
  const { kind } = judgeObservation(stored, hostId, observed, false);
  if (kind === "illegal" || kind === "foreign") warn(log, { kind, hostId, from: row, observed });
  return kind === "take";
}

function takenFrom(row: StoredRow, observed: ObservedJob): Taken {
  // What is not in rotation is in no table: the router is told when it is taken in.
  const inTable = row.rotation === "in";
  const routes = inTable && (row.ready !== isReady(observed) || row.address !== observed.address);
  return {
    concernsPlan: concernsPlan(row, asStored(observed)),
    routesOf: routes ? row.service_id : null,
    told: describe(row, observed),
  };
}

/** Most lists change nothing: they are judged unlocked, and what would change is judged again on locked rows. */
async function takeLists(
  { db, log }: { db: Kysely<Tables>; log: Log },
  lists: readonly HostList[],
): Promise<boolean> {
  const ids = lists.flatMap(({ jobs }) => jobs.map(({ jobId }) => jobId));
  const hosts = lists.map(({ hostId }) => hostId);
  const seen = await readListed(
    db,
    sql`id = any(${ids}) or held_by = any(${hosts}) or (pending and host_id = any(${hosts}))`,
  );
  const first = judgeLists(lists, seen);
  for (const one of first.odd) warn(log, one);
  if (first.taken.length + first.absent.length === 0) return false;
  const changing = [...first.taken, ...first.absent].map(({ jobId }) => jobId);
  return db.transaction().execute(async (trx) => {
    const locked = await readListed(trx, sql`id = any(${changing}) order by id for update`);
    const { taken, absent } = judgeLists(lists, locked);
    await storeObserved(trx, taken);
    await storeAbsent(trx, absent);
    return taken.length + absent.length > 0;
  });
}

async function readCalm(db: Db): Promise<RecordCalm> {
  const { rows } = await sql<RecordCalm>`${PREPARED}
    select (select max(told_at)::text from jobs) as newest, exists (select 1 from jobs where pending) as "isPlacing"`.execute(
    db,
  );
  return rows[0] ?? { newest: null, isPlacing: true };
}

async function readListed(db: Db, where: RawBuilder<unknown>): Promise<ListedJob[]> {
  const { rows } = await sql<ListedJob>`${PREPARED}
    select id, epoch, state, desired, host_id as "hostId", observed_sequence as "observedSequence",
           (extract(epoch from lease_expires_at) * 1000)::float8 as "leaseExpiresAtMs",
           (extract(epoch from updated_at) * 1000)::float8 as "updatedAtMs",
           coalesce((spec->'partition'->>'singleWriter')::boolean, false) as "singleWriter",
           desired = 'run' and sleep_level is null and not ready as awaited
      from jobs where ${where}`.execute(db);
  return rows;
}

function isReady({ ready, state }: ObservedJob): boolean {
  return ready && state === "running";
}

/** One statement, however many. The auction's stage is the scheduler's own. */
async function storeObserved(trx: Transaction<Tables>, observed: readonly ObservedJob[]): Promise<void> {
  if (observed.length === 0) return;
  const rows = observed.map((one) => ({ ...one, ready: isReady(one) }));
  await sql`
    update jobs j set state = o.state, ready = o.ready, observed_sequence = o.sequence, address = o.address, port = o.port,
           restarts_count = o."restartsCount", exit_code = o."exitCode", reason_code = o."reasonCode", reason = o.reason,
           last_lines = o."lastLines",
           stages = coalesce((select jsonb_agg(s) from jsonb_array_elements(j.stages) s where s->>'name' = 'auction'), '[]'::jsonb) || o.stages,
           lease_expires_at = null, updated_at = now()
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
           as o("jobId" text, state text, ready boolean, sequence int, address text, port int, "restartsCount" int, "exitCode" int,
                "reasonCode" text, reason text, "lastLines" jsonb, stages jsonb)
     where j.id = o."jobId"`.execute(trx);
}

/** Hosts that live and do not hold the jobs: awards that they never got, or jobs that they lost or have removed. */
async function storeAbsent(trx: Transaction<Tables>, absent: ListVerdicts["absent"]): Promise<void> {
  if (absent.length === 0) return;
  await sql`
    update jobs j set
           state = case a.verdict when 'stop' then j.state else a.verdict end,
           desired = case a.verdict when 'stop' then 'stop' else j.desired end,
           ready = case a.verdict when 'requested' then j.ready else false end,
           host_id = case a.verdict when 'requested' then null else j.host_id end,
           lease_expires_at = case a.verdict when 'requested' then null else j.lease_expires_at end,
           reason_code = case a.verdict when 'failed' then 'start-failed' else j.reason_code end,
           reason = case a.verdict when 'failed' then 'its host no longer holds it'
                                   when 'stop' then 'its host lost its record of it' else j.reason end,
           updated_at = now()
      from unnest(${absent.map(({ jobId }) => jobId)}::text[], ${absent.map(({ to }) => to)}::text[]) as a(id, verdict)
     where j.id = a.id`.execute(trx);
}

function warn(
  log: Log,
  odd: {
    readonly kind: "illegal" | "foreign";
    readonly hostId: HostId;
    readonly from: { readonly id: string; readonly state: JobState };
    readonly observed: ObservedJob;
  },
): void {
  const { kind, hostId, from, observed } = odd;
  if (kind === "illegal")
    log.warn("observation.illegal", { jobId: from.id, from: from.state, to: observed.state });
  else log.warn("observation.foreign", { jobId: from.id, hostId, epoch: observed.epoch });
}

function describe(row: StoredRow, observed: ObservedJob): Progress[] {
  const name = `${row.process}.${row.slot}`;
  const tell = (line: string): Progress[] => [{ deployId: row.deploy_id, line }];
  if (observed.state === "failed")
    return tell(`${name} failed: ${observed.reason ?? observed.reasonCode ?? "no reason given"}`);
  if (observed.ready && !row.ready && observed.state === "running")
    return tell(`${name} is ready${readyAfter(observed)}`);
  if (observed.state === row.state) return [];
  if (observed.state === "preparing") return tell(`${name}: fetching the image and the secrets`);
  if (observed.state === "starting") return tell(`${name}: starting`);
  return [];
}

function readyAfter(observed: ObservedJob): string {
  const first = observed.stages[0];
  const last = observed.stages.at(-1);
  return first === undefined || last === undefined
    ? ""
    : ` after ${((last.endedAtMs - first.startedAtMs) / 1000).toFixed(1)} s`;
}
