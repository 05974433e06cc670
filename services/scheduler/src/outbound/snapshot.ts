/**
 * Reads everything that the scheduler decides from, whole and fresh, in one repeatable-read transaction:
 * a partial read throws, it never looks like "nothing there".
 */
import { ProcessTable } from "@berth/shared/contracts/build.ts";
import { ProcessSettings } from "@berth/shared/contracts/http/api.ts";
import { RouteTable } from "@berth/shared/contracts/route.ts";
import type { DeployState } from "@berth/shared/domain/deploy-state.ts";
import type { DeployId, HostId, JobId, OrgId, ReleaseId, ServiceId } from "@berth/shared/domain/ids.ts";
import { isPaced, type Rollout } from "@berth/shared/domain/rollout.ts";
import { partitionOf, ServicePolicy } from "@berth/shared/domain/service-policy.ts";
import type { Kysely, Transaction } from "kysely";
import { sql } from "kysely";
import { z } from "zod";
import type { ActivityBook } from "../core/activity-book.ts";
import type { HostPolicy } from "../core/candidates.ts";
import type { DeployView, HostSight, ProcessWish, ReleaseView, ServiceView } from "../core/views.ts";
import { heldServices, readSleeps, sleepView } from "./sleeps.ts";
import { isOneOf, type Only, readEpochs, readJobs, type StoredJob, type Unplaceable } from "./stored-jobs.ts";
import type { Tables } from "./tables.ts";
import { readTasks } from "./tasks.ts";

export interface StoredHost {
  readonly id: HostId;
  readonly name: string;
  readonly policy: HostPolicy;
  readonly sight: HostSight;
}

/** Some services are read; of the others these jobs are known. */
export interface SnapshotPart {
  readonly services: readonly ServiceId[];
  readonly resting: readonly StoredJob[];
}

export interface Snapshot {
  /** False when services at rest were left out. */
  readonly isWhole: boolean;
  /** All, but for those at rest when a part was read. */
  readonly services: readonly ServiceView[];
  /** Every job that is not final, and recent final ones; those of services at rest as they were read before. */
  readonly jobs: readonly StoredJob[];
  readonly hosts: readonly StoredHost[];
  /** Epochs of jobs that the record knows: all of `jobs`, and those that hosts reported. */
  readonly reported: ReadonlyMap<string, number>;
  /** By this process's clock, before the reading began. */
  readonly readAtMs: number;
}

/** What the process knows and the record does not. */
export interface SnapshotGiven {
  readonly unplaceable: Unplaceable;
  /** Jobs that hosts say they hold. */
  readonly reported: readonly string[];
  /** Hosts of pods in which nothing is given up now. */
  readonly frozenHosts: ReadonlySet<HostId>;
  readonly activity: ActivityBook;
  /** Null: everything is read. */
  readonly part?: SnapshotPart | null;
}

export async function readSnapshot(db: Kysely<Tables>, given: SnapshotGiven): Promise<Snapshot> {
  return (await readOnce(db, given)) ?? (await readWhole(db, given));
}

async function readWhole(db: Kysely<Tables>, given: SnapshotGiven): Promise<Snapshot> {
  const snapshot = await readOnce(db, { ...given, part: null });
  if (snapshot === null) throw new Error("a whole reading lacks jobs of the record");
  return snapshot;
}

/** @returns null when hosts hold jobs that the record has and the part has not: it was chosen too early */
function readOnce(
  db: Kysely<Tables>,
  { unplaceable, reported, frozenHosts, activity, part = null }: SnapshotGiven,
): Promise<Snapshot | null> {
  const readAtMs = Date.now();
  return db
    .transaction()
    .setIsolationLevel("repeatable read")
    .execute(async (trx) => {
      const only = part?.services ?? null;
      const read = await readJobs(trx, unplaceable, only);
      const hosts = await readHosts(trx, frozenHosts);
      const services = await readServices(trx, read, only, {
        drainingHosts: new Set(hosts.filter((host) => host.policy.draining).map((host) => host.id)),
        hosts: new Map(hosts.map((host) => [host.id, host.sight])),
        activity,
      });
      const jobs = part === null ? read : [...part.resting, ...read];
      const epochs = new Map<string, number>(jobs.map(({ view, epoch }) => [view.id, epoch]));
      const others = reported.filter((id) => !epochs.has(id));
      const found = await readEpochs(trx, others);
      if (part !== null && found.some(({ open }) => open)) return null;
      for (const { id, epoch } of found) epochs.set(id, epoch);
      return { isWhole: part === null, services, jobs, hosts, reported: epochs, readAtMs };
    });
}

interface HostRow {
  id: HostId;
  name: string;
  labels: Record<string, string>;
  dedicated_to: OrgId | null;
  cordoned: boolean;
  draining: boolean;
  state: "alive" | "suspect" | "lost" | null;
  last_heartbeat_at_ms: number | null;
}

async function readHosts(trx: Transaction<Tables>, frozenHosts: ReadonlySet<HostId>): Promise<StoredHost[]> {
  const rows = await sql<HostRow>`
    select h.id, h.name, h.labels, h.dedicated_to, h.cordoned, h.draining, s.state,
           (extract(epoch from s.last_heartbeat_at) * 1000)::float8 as last_heartbeat_at_ms
      from api.hosts h left join hosts_seen s on s.host_id = h.id where h.removed_at is null`.execute(trx);
  return rows.rows.map((row) => ({
    id: row.id,
    name: row.name,
    policy: {
      labels: row.labels,
      dedicatedTo: row.dedicated_to,
      cordoned: row.cordoned,
      draining: row.draining,
    },
    sight: {
      state: row.state ?? "alive",
      lastHeartbeatAtMs: row.last_heartbeat_at_ms ?? 0,
      frozen: frozenHosts.has(row.id),
    },
  }));
}

interface ServiceRow {
  id: ServiceId;
  environment_id: string;
  policy: unknown;
  deleted: boolean;
  target_id: ReleaseId | null;
  target_version: number | null;
  target_deploy_id: DeployId | null;
  target_processes: unknown;
  target_deploy_exists: boolean;
  /** Of a release that is, or will be, deployed. */
  target_settings: unknown;
  serving_id: ReleaseId | null;
  serving_version: number | null;
  serving_deploy_id: DeployId | null;
  serving_processes: unknown;
}

async function readServices(
  trx: Transaction<Tables>,
  jobs: readonly StoredJob[],
  only: Only,
  { activity, ...pod }: Pick<ServiceView, "drainingHosts" | "hosts"> & { activity: ActivityBook },
): Promise<ServiceView[]> {
  const busy = [...new Set(jobs.map((job) => job.serviceId))];
  const services = await sql<ServiceRow>`
    select s.id, s.environment_id, s.policy, s.deleted_at is not null as deleted,
           t.id as target_id, t.version as target_version, t.deploy_id as target_deploy_id, t.processes as target_processes,
           d.id is not null as target_deploy_exists,
           case when d.finished_at is null then t.process_settings end as target_settings,
           r.id as serving_id, r.version as serving_version, r.deploy_id as serving_deploy_id, r.processes as serving_processes
      from api.services s
      left join api.releases t on t.id = s.current_release_id
      left join deploys d on d.id = t.deploy_id
      left join serving v on v.service_id = s.id
      left join api.releases r on r.id = v.release_id
     where ${isOneOf("s.id", only)}
       and ((s.deleted_at is null and s.current_release_id is not null) or s.id = any(${busy}) or v.service_id is not null)`.execute(
    trx,
  );
  const wishes = await sql<{
    service_id: ServiceId;
    process: string;
    scale: number;
  }>`select service_id, process, scale from wishes where ${isOneOf("service_id", only)}`.execute(trx);
  const deploys = await sql<{
    id: DeployId;
    service_id: ServiceId;
    release_id: ReleaseId;
    state: DeployState;
    reason_code: string | null;
    reason: string | null;
    created_at: Date;
    state_since: Date;
  }>`
    select id, service_id, release_id, state, reason_code, reason, created_at, state_since from deploys where finished_at is null order by created_at`.execute(
    trx,
  );
  const cancels = await sql<{
    deploy_id: DeployId;
  }>`select c.deploy_id from api.deploy_cancels c join deploys d on d.id = c.deploy_id where d.finished_at is null`.execute(
    trx,
  );
  const routes = await sql<{ environment_id: string; settled: boolean; sites: unknown }>`
    select environment_id, acknowledged_version = version as settled, sites from router.route_tables
     where environment_id in (select environment_id from api.services where ${isOneOf("id", only)})`.execute(
    trx,
  );
  const routed = new Map(
    routes.rows.map((row) => [row.environment_id, row.settled ? routedJobs(row.sites) : null]),
  );
  const held = new Map(routes.rows.flatMap((row) => (row.settled ? heldServices(row.sites) : [])));
  const sleeps = await readSleeps(trx, only);
  const edges = [...pod.hosts].filter(([, { state }]) => state !== "lost").map(([id]) => id);
  const nowMs = Date.now();
  const cancelled = new Set(cancels.rows.map((row) => row.deploy_id));
  const wishesOf = Map.groupBy(wishes.rows, (wish) => wish.service_id);
  const deploysOf = Map.groupBy(deploys.rows, (deploy) => deploy.service_id);
  const tasksOf = await readTasks(trx, jobs);
  const jobsOf = Map.groupBy(
    jobs.filter((job) => job.taskId === null),
    (job) => job.serviceId,
  );
  return services.rows.map((row) => {
    const policy = ServicePolicy.parse(row.policy);
    return {
      serviceId: row.id,
      deleted: row.deleted,
      target: release(
        row.target_id,
        row.target_version,
        row.target_deploy_id,
        row.target_processes,
        row.target_settings,
      ),
      targetDeployExists: row.target_deploy_exists,
      serving: release(
        row.serving_id,
        row.serving_version,
        row.serving_deploy_id,
        row.serving_processes,
        null,
      ),
      wishes: (wishesOf.get(row.id) ?? []) satisfies readonly ProcessWish[],
      openDeploys: (deploysOf.get(row.id) ?? []).map(deployView),
      jobs: (jobsOf.get(row.id) ?? []).map((job) => job.view),
      tasks: tasksOf.get(row.id) ?? [],
      cancelled,
      ...pod,
      policy: partitionOf(policy),
      progressDeadlineMs: policy.progressDeadlineMs,
      routed: routed.get(row.environment_id) ?? null,
      sleep: {
        ...sleepView(sleeps.get(row.id), held.get(row.id)),
        afterMs: policy.sleepAfterMs,
        idleLevel: policy.sleepLevel,
        quietSinceMs: policy.sleepAfterMs === null ? null : activity.quietSinceMs(row.id, edges, nowMs),
      },
    };
  });
}

function release(
  id: ReleaseId | null,
  version: number | null,
  deployId: DeployId | null,
  processes: unknown,
  settings: unknown,
): ReleaseView | null {
  if (id === null || version === null || deployId === null) return null;
  const names = new Set(Object.keys(ProcessTable.parse(processes)));
  return { id, version, deployId, processes: names, rollouts: rollouts(settings) };
}

/** Of the processes whose owner asks for more than the default. */
function rollouts(settings: unknown): ReadonlyMap<string, Rollout> {
  if (settings === null) return new Map();
  return new Map(
    z
      .array(ProcessSettings)
      .parse(settings)
      .map(({ process, canary, batch, minReadyMs }) => [process, { canary, batch, minReadyMs }] as const)
      .filter(([, one]) => isPaced(one) || one.minReadyMs !== null),
  );
}

function deployView(row: {
  id: DeployId;
  release_id: ReleaseId;
  state: DeployState;
  reason_code: string | null;
  reason: string | null;
  created_at: Date;
  state_since: Date;
}): DeployView {
  return {
    id: row.id,
    releaseId: row.release_id,
    state: row.state,
    createdAtMs: row.created_at.getTime(),
    stateSinceMs: row.state_since.getTime(),
    reasonCode: row.reason_code,
    reason: row.reason,
  };
}

/** What edges send to activators is not routed to its backends. */
function routedJobs(stored: unknown): ReadonlySet<JobId> {
  const sites = RouteTable.shape.sites.parse(stored).filter(({ sleep }) => sleep === undefined);
  return new Set(sites.flatMap((site) => site.backends.map((backend) => backend.jobId)));
}
