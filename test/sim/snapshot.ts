/** What a scheduler reads: the record as service views, as `outbound/snapshot.ts` makes them from PostgreSQL. */
import type { HostId, JobId, ServiceId } from "@berth/shared/domain/ids.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import { DEFAULT_PARTITION_POLICY } from "@berth/shared/domain/service-policy.ts";
import type { HostReport } from "../../services/scheduler/src/core/desired-set.ts";
import { AWAKE } from "../../services/scheduler/src/core/plan-sleep.ts";
import type { JobView, ServiceView } from "../../services/scheduler/src/core/views.ts";
import type { JobRow, PodRecord } from "./store.ts";
import { isOpenDeploy } from "./store.ts";

export interface SnapshotJob {
  readonly row: JobRow;
  readonly epoch: number;
  readonly view: JobView;
}

export interface Snapshot {
  readonly services: readonly ServiceView[];
  readonly jobs: readonly SnapshotJob[];
  readonly reported: ReadonlyMap<string, number>;
  readonly readAtMs: number;
}

/** Drains are not played yet. */
const NO_HOSTS: ReadonlySet<HostId> = new Set();

const RECENT_MS = 10 * 60_000;

export function readSnapshot(
  record: PodRecord,
  nowMs: number,
  unplaceable: ReadonlyMap<JobId, NonNullable<JobView["unplaceable"]>>,
  reports: ReadonlyMap<string, HostReport>,
  frozen: boolean,
): Snapshot {
  const jobs: SnapshotJob[] = [];
  for (const row of record.jobs.values()) {
    if (isFinal(row.state) && nowMs - row.updatedAtMs >= RECENT_MS) continue;
    jobs.push({
      row,
      epoch: row.epoch,
      view: {
        ...row,
        restartAsked: false,
        readySinceMs: 0,
        sleep: null,
        wokenEpoch: 0,
        partition: row.spec.partition,
        lastLines: [],
        unplaceable: unplaceable.get(row.id) ?? null,
      },
    });
  }
  const hosts = new Map([...record.hosts].map(([id, host]) => [id, { ...host, frozen }]));
  const services = [...record.current.keys()].map((id) => serviceView(record, id, jobs, hosts));
  const reported = new Map<string, number>();
  for (const { jobs: listed } of reports.values()) {
    for (const { jobId } of listed) {
      const row = record.jobs.get(jobId as JobId);
      if (row !== undefined) reported.set(jobId, row.epoch);
    }
  }
  return { services, jobs, reported, readAtMs: nowMs };
}

function serviceView(
  record: PodRecord,
  serviceId: ServiceId,
  jobs: readonly SnapshotJob[],
  hosts: ServiceView["hosts"],
): ServiceView {
  const release = (id: ReturnType<typeof record.current.get>) =>
    id === undefined ? null : (record.releases.get(id)?.view ?? null);
  const target = release(record.current.get(serviceId));
  const { routes } = record;
  return {
    serviceId,
    deleted: false,
    target,
    targetDeployExists: target !== null && record.deploys.has(target.deployId),
    serving: release(record.serving.get(serviceId)),
    wishes: [{ process: "web", scale: record.scale.get(serviceId) ?? 1 }],
    openDeploys: [...record.deploys.values()].filter(
      (one) => one.serviceId === serviceId && isOpenDeploy(one),
    ),
    jobs: jobs.filter(({ row }) => row.serviceId === serviceId).map(({ view }) => view),
    tasks: [],
    cancelled: record.cancels,
    drainingHosts: NO_HOSTS,
    hosts,
    policy: record.policies.get(serviceId) ?? DEFAULT_PARTITION_POLICY,
    progressDeadlineMs: null,
    routed: routes.settled ? routes.jobs : null,
    sleep: AWAKE,
  };
}
