/**
 * Reads what an auction decides from: the jobs that wait for a host, the awards that nobody answered, the hosts.
 *
 * Small and often, where the planner's snapshot is whole and rare. It may be older than the record by the time an award
 * is stored: storing checks every job and host again.
 */
import { JobSpec } from "@berth/shared/contracts/job.ts";
import type { DeployId, HostId, JobId, OrgId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { JobState } from "@berth/shared/domain/job-state.ts";
import type { Lot } from "@berth/shared/domain/placement.ts";
import { PREPARED } from "@berth/shared/kit/database.ts";
import type { Kysely } from "kysely";
import { sql } from "kysely";
import { z } from "zod";
import type { HostPolicy } from "../core/candidates.ts";
import { MAIN_POD } from "../core/place-pods.ts";
import type { Tables } from "./tables.ts";

export interface AuctionJob {
  readonly id: JobId;
  readonly serviceId: ServiceId;
  readonly deployId: DeployId;
  readonly process: string;
  readonly slot: number;
  readonly state: JobState;
  readonly desired: "run" | "stop";
  readonly hostId: HostId | null;
  readonly epoch: number;
  readonly leaseExpiresAtMs: number | null;
  readonly lot: Lot;
  /** JSON of the `JobSpec` as it was checked and stored, with the epoch that it is awarded under. The agent checks it again. */
  readonly spec: string;
  /** Of the service's environment: only its hosts are asked. */
  readonly pod: string;
}

export interface StoredHost {
  readonly id: HostId;
  readonly name: string;
  readonly pod: string;
  readonly policy: HostPolicy;
}

/** What is auctioned of a job's spec. */
const Auctioned = z.object(
  JobSpec.pick({
    ...{ orgId: true, serviceId: true, process: true },
    ...{ resources: true, image: true, constraints: true },
  }).shape,
);

function lotOf(jobId: JobId, spec: string): Lot {
  const { orgId, serviceId, process, resources, image, constraints } = Auctioned.parse(JSON.parse(spec));
  return {
    ...{ jobId, orgId, serviceId, process, resources, constraints },
    ...{ imageDigest: image.digest, imageBytes: image.bytes },
  };
}

interface JobRow {
  id: JobId;
  service_id: ServiceId;
  deploy_id: DeployId;
  process: string;
  slot: number;
  state: JobState;
  desired: "run" | "stop";
  host_id: HostId | null;
  epoch: number;
  lease_expires_at_ms: number | null;
  spec: string;
  pod: string;
  created_at: string;
  former_host: HostId | null;
  former_digest: string | null;
  former_instances: number | null;
}

/**
 * Lots of one batch. Awards to one host travel together, so smaller pages cost more messages: with 1,000 instead of 5,000,
 * 4,000 jobs on 1,000 hosts took 2.4 messages each instead of 0.7, and half as much CPU again.
 */
export const MOST_LOTS = 5000;

/** The oldest first: where a page ends. */
interface PageEnd {
  readonly createdAt: string;
  readonly id: string;
}

const BEGIN: PageEnd = { createdAt: "-infinity", id: "" };

/**
 * All that an auction decides on, page by page; the next page is read while one is worked on.
 * @param quietMs an award younger than this is not read: its answer is on its way
 */
export async function* auctionPages(db: Kysely<Tables>, quietMs: number): AsyncGenerator<AuctionJob[]> {
  let reading: Promise<JobRow[]> | null = readPage(db, quietMs, BEGIN);
  while (reading !== null) {
    const rows: JobRow[] = await reading;
    const last = rows.at(-1);
    reading =
      last === undefined || rows.length < MOST_LOTS
        ? null
        : readPage(db, quietMs, { createdAt: last.created_at, id: last.id });
    // Whoever does not come back for it need not hear of it.
    reading?.catch(() => undefined);
    yield rows.map(toAuctionJob);
  }
}

async function readPage(db: Kysely<Tables>, quietMs: number, after: PageEnd): Promise<JobRow[]> {
  const { rows } = await sql<JobRow>`${PREPARED}
    select j.id, j.service_id, j.deploy_id, j.process, j.slot, j.state, j.desired, j.host_id, j.epoch,
           (j.spec || jsonb_build_object('epoch', j.epoch + case j.state when 'requested' then 1 else 0 end))::text as spec,
           (extract(epoch from j.lease_expires_at) * 1000)::float8 as lease_expires_at_ms,
           coalesce(e.pod, ${MAIN_POD}) as pod, j.created_at::text as created_at,
           f.host_id as former_host, f.digest as former_digest, f.instances as former_instances
      from jobs j left join api.environments e on e.id = j.environment_id
      left join lateral (
        select o.host_id, o.spec->'image'->>'digest' as digest,
               (select count(*)::int from jobs c
                 where c.open and c.service_id = o.service_id and c.host_id = o.host_id) as instances
          from jobs o
         where o.open and o.service_id = j.service_id and o.process = j.process and o.slot = j.slot and o.id <> j.id
           and not o.pending and o.host_id is not null and o.desired = 'run' and not o.leaving and not o.away
           and j.task_id is null and o.task_id is null
         order by o.created_at desc limit 1) f on true
     where j.pending and j.state in ('requested', 'awarded') and j.desired = 'run'
       and (j.state = 'requested' or j.updated_at < now() - ${quietMs} * interval '1 millisecond')
       and (j.created_at, j.id) > (${after.createdAt}::timestamptz, ${after.id})
     order by j.created_at, j.id limit ${MOST_LOTS}`.execute(db);
  return rows;
}

function toAuctionJob(row: JobRow): AuctionJob {
  return {
    ...{
      id: row.id,
      serviceId: row.service_id,
      deployId: row.deploy_id,
      process: row.process,
      slot: row.slot,
    },
    ...{ state: row.state, desired: row.desired, hostId: row.host_id, epoch: row.epoch },
    ...{ leaseExpiresAtMs: row.lease_expires_at_ms, pod: row.pod },
    lot: { ...lotOf(row.id, row.spec), ...formerOf(row) },
    spec: row.spec,
  };
}

/** Not of a job that leaves its host: it is to go elsewhere. */
function formerOf(row: JobRow): Pick<Lot, "former"> {
  const { former_host: hostId, former_digest: imageDigest, former_instances: instancesCount } = row;
  if (hostId === null || imageDigest === null || instancesCount === null) return {};
  return { former: { hostId, imageDigest, instancesCount } };
}

/** What each of the jobs needs of a host; those that are gone are left out. */
export async function readLots(db: Kysely<Tables>, ids: readonly JobId[]): Promise<Map<JobId, Lot>> {
  const { rows } = await sql<{ id: JobId; spec: string }>`
    select id, spec::text as spec from jobs where id = any(${ids})`.execute(db);
  return new Map(rows.map(({ id, spec }) => [id, lotOf(id, spec)]));
}

interface HostRow {
  id: HostId;
  name: string;
  pod: string;
  labels: Record<string, string>;
  dedicated_to: OrgId | null;
  cordoned: boolean;
  draining: boolean;
}

export async function readHosts(db: Kysely<Tables>): Promise<StoredHost[]> {
  const rows = await sql<HostRow>`
    select id, name, pod, labels, dedicated_to, cordoned, draining from api.hosts where removed_at is null order by id`.execute(
    db,
  );
  return rows.rows.map(({ id, name, pod, labels, dedicated_to: dedicatedTo, cordoned, draining }) => ({
    id,
    name,
    pod,
    policy: { labels, dedicatedTo, cordoned, draining },
  }));
}
