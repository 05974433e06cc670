/** Writes what agents saw into the jobs table. Any scheduler may do it: an observation is a fact, not a decision. */
import type { ObservedJob } from "@berth/shared/contracts/job.ts";
import type { DeployId, HostId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { JobState } from "@berth/shared/domain/job-state.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import { batched } from "@berth/shared/kit/batch.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { Kysely, Transaction } from "kysely";
import { sql } from "kysely";
import { judgeObservation } from "../core/apply-observation.ts";
import { judgeAbsence } from "../core/judge-absence.ts";
import type { Progress } from "./steps.ts";
import type { Tables } from "./tables.ts";

interface StoredRow {
  id: string;
  deploy_id: DeployId;
  service_id: ServiceId;
  address: string | null;
  process: string;
  slot: number;
  epoch: number;
  state: JobState;
  desired: "run" | "stop";
  ready: boolean;
  rotation: string;
  host_id: string | null;
  observed_sequence: number;
  lease_expires_at: Date | null;
  updated_at: Date;
  single_writer: boolean;
  sleeps: boolean;
}

const COLUMNS = sql`id, deploy_id, service_id, address, process, slot, epoch, state, desired, ready, rotation, host_id, observed_sequence, lease_expires_at, updated_at, coalesce((spec->'partition'->>'singleWriter')::boolean, false) as single_writer, sleep_level is not null as sleeps`;

export interface Taken {
  readonly changed: boolean;
  /** The service whose routes may have to change, when readiness or the address did. */
  readonly routesOf: ServiceId | null;
  readonly told: Progress[];
}

export interface Observations {
  /** @returns true when something changed, with lines for the pusher */
  take(hostId: HostId, observed: ObservedJob): Promise<Taken>;
  /** A heartbeat's whole list, made at `atMs`: what the host did not hold then is over. @returns true when something changed */
  takeWhole(
    hostId: HostId,
    atMs: number,
    observed: readonly ObservedJob[],
    unknown?: readonly { readonly jobId: string }[],
  ): Promise<boolean>;
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
  const take = batched((all: readonly Observation[]) => takeAll(given, all), MOST_TOGETHER);
  return {
    take: async (hostId, observed) => {
      const outcome = await take({ hostId, observed });
      if ("error" in outcome) throw outcome.error;
      return outcome.taken;
    },
    takeWhole: (hostId, atMs, observed, unknown = []) =>
      given.db.transaction().execute(async (trx) => {
        const ids = observed.map((job) => job.jobId);
        const rows = (
          await sql<StoredRow>`select ${COLUMNS} from jobs where id = any(${ids}) or (host_id = ${hostId} and state not in ('requested', 'finished', 'failed')) order by id for update`.execute(
            trx,
          )
        ).rows;
        const known = new Map(rows.map((row) => [row.id, row]));
        let changed = false;
        for (const job of observed) {
          const row = known.get(job.jobId);
          if (row !== undefined && !isFinal(row.state))
            changed = (await takeOne(trx, given.log, row, hostId, job, true)).changed || changed;
        }
        const held = new Set<string>(ids);
        const here = new Set(unknown.map((job) => job.jobId));
        for (const row of rows) {
          if (row.host_id === hostId && !held.has(row.id))
            changed = (await takeAbsence(trx, row, atMs, here.has(row.id))) || changed;
        }
        return changed;
      }),
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
    const results: Taken[] = [];
    for (const { hostId, observed } of all) {
      const row = known.get(observed.jobId);
      const taken = row === undefined ? NOTHING : await takeOne(trx, log, row, hostId, observed, false);
      if (row !== undefined && taken.changed) known.set(row.id, { ...row, ...asStored(observed) });
      results.push(taken);
    }
    return results;
  });
}

function asStored({ state, ready, address, sequence }: ObservedJob) {
  return {
    ...{ state, address, ready: ready && state === "running" },
    ...{ observed_sequence: sequence, lease_expires_at: null },
  };
}

const NOTHING: Taken = { changed: false, routesOf: null, told: [] };

async function takeOne(
  trx: Transaction<Tables>,
  log: Log,
  row: StoredRow,
  hostId: HostId,
  observed: ObservedJob,
  listed: boolean,
): Promise<Taken> {
  const verdict = judgeObservation(
    {
      ...{ epoch: row.epoch, state: row.state, hostId: row.host_id, observedSequence: row.observed_sequence },
      awaited: row.desired === "run" && !row.sleeps && !row.ready,
    },
    hostId,
    observed,
    listed,
  );
  if (verdict.kind === "illegal")
    log.warn("observation.illegal", { jobId: row.id, from: row.state, to: observed.state });
  if (verdict.kind === "foreign")
    log.warn("observation.foreign", { jobId: row.id, hostId, epoch: observed.epoch });
  if (verdict.kind !== "take") return NOTHING;
  await sql`
    update jobs set state = ${observed.state}, ready = ${observed.ready && observed.state === "running"}, observed_sequence = ${observed.sequence},
           address = ${observed.address}, port = ${observed.port}, restarts_count = ${observed.restartsCount}, exit_code = ${observed.exitCode},
           reason_code = ${observed.reasonCode}, reason = ${observed.reason}, last_lines = ${JSON.stringify(observed.lastLines)}::jsonb,
           stages = coalesce((select jsonb_agg(s) from jsonb_array_elements(stages) s where s->>'name' = 'auction'), '[]'::jsonb) || ${JSON.stringify(observed.stages)}::jsonb,
           lease_expires_at = null, updated_at = now()
     where id = ${row.id}`.execute(trx);
  // What is not in rotation is in no table: the router is told when it is taken in.
  const inTable = row.rotation === "in";
  const routes =
    inTable &&
    (row.ready !== (observed.ready && observed.state === "running") || row.address !== observed.address);
  return { changed: true, routesOf: routes ? row.service_id : null, told: describe(row, observed) };
}

/** The host lives and does not hold the job: an award that it never got, or a job that it lost or has removed. */
async function takeAbsence(
  trx: Transaction<Tables>,
  row: StoredRow,
  atMs: number,
  unknownHere: boolean,
): Promise<boolean> {
  const to = judgeAbsence(
    {
      state: row.state,
      desired: row.desired,
      leaseExpiresAtMs: row.lease_expires_at?.getTime() ?? null,
      updatedAtMs: row.updated_at.getTime(),
      singleWriter: row.single_writer,
    },
    atMs,
    unknownHere,
  );
  if (to === "wait") return false;
  if (to === "stop") {
    await sql`update jobs set desired = 'stop', ready = false, reason = 'its host lost its record of it', updated_at = now() where id = ${row.id}`.execute(
      trx,
    );
    return true;
  }
  if (to === "requested")
    await sql`update jobs set state = 'requested', host_id = null, lease_expires_at = null, updated_at = now() where id = ${row.id}`.execute(
      trx,
    );
  else if (to === "finished")
    await sql`update jobs set state = 'finished', ready = false, updated_at = now() where id = ${row.id}`.execute(
      trx,
    );
  else
    await sql`update jobs set state = 'failed', ready = false, reason_code = 'start-failed', reason = 'its host no longer holds it', updated_at = now() where id = ${row.id}`.execute(
      trx,
    );
  return true;
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
