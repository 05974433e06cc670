/** A new row of the jobs table, with a spec as `outbound/create-job.ts` makes it. */
import type { JobSpec } from "@berth/shared/contracts/job.ts";
import type { JobId } from "@berth/shared/domain/ids.ts";
import { NO_CONSTRAINTS } from "@berth/shared/domain/placement.ts";
import { DEFAULT_RESOURCES } from "@berth/shared/domain/resources.ts";
import type { PartitionPolicy } from "@berth/shared/domain/service-policy.ts";
import type { JobRow, Release } from "./store.ts";
import { LIMITS } from "./world.ts";

export function newJob(
  id: JobId,
  release: Release,
  partition: PartitionPolicy,
  { process, slot }: { readonly process: string; readonly slot: number },
  nowMs: number,
): JobRow {
  const { view, serviceId, memoryBytes } = release;
  const spec = {
    jobId: id,
    epoch: 1,
    orgId: "org_1",
    environmentId: "env_1",
    serviceId,
    releaseId: view.id,
    deployId: view.deployId,
    serviceName: "app",
    environmentName: "production",
    releaseVersion: view.version,
    commit: "c".repeat(40),
    process,
    slot,
    command: "",
    image: { repository: "org_1/svc_1", digest: `sha256:${"1".repeat(64)}`, bytes: 1 },
    profile: { port: 8080, rootFilesystem: "read-only", runsAsRoot: false },
    resources: { ...DEFAULT_RESOURCES, memoryBytes },
    constraints: NO_CONSTRAINTS,
    partition,
    readiness: { httpPath: null, deadlineMs: LIMITS.readinessDeadlineMs, aliveMs: 1000 },
    stopGraceMs: 5000,
    configVersion: 0,
    task: null,
    traceparent: null,
  } as unknown as JobSpec;
  return {
    id,
    serviceId,
    releaseId: view.id,
    deployId: view.deployId,
    process,
    slot,
    spec,
    epoch: 0,
    state: "requested",
    desired: "run",
    rotation: "out",
    rotationSinceMs: nowMs,
    ready: false,
    hostId: null,
    observedSequence: -1,
    address: null,
    restartsCount: 0,
    reasonCode: null,
    reason: null,
    leaseExpiresAtMs: null,
    leaving: false,
    away: false,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
  };
}
