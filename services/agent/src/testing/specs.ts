/** Job specs and records with defaults, for unit tests. */
import type { JobSpec } from "@berth/shared/contracts/job.ts";
import { NO_CONSTRAINTS } from "@berth/shared/domain/placement.ts";
import { DEFAULT_RESOURCES } from "@berth/shared/domain/resources.ts";
import { DEFAULT_PARTITION_POLICY } from "@berth/shared/domain/service-policy.ts";
import { type JobRecord, newRecord } from "../core/job-record.ts";

const BODY = "0".repeat(25);

export function unitSpec(patch: Partial<Record<keyof JobSpec, unknown>> = {}): JobSpec {
  return {
    jobId: `job_${BODY}1`,
    epoch: 1,
    orgId: `org_${BODY}1`,
    environmentId: `env_${BODY}1`,
    serviceId: `svc_${BODY}1`,
    releaseId: `rel_${BODY}1`,
    deployId: `dep_${BODY}1`,
    serviceName: "shop",
    environmentName: "production",
    releaseVersion: 3,
    commit: "c".repeat(40),
    process: "web",
    slot: 1,
    command: "",
    image: { repository: "org_a/svc_a", digest: `sha256:${"1".repeat(64)}`, bytes: 1 },
    profile: { port: 8080, rootFilesystem: "read-only", runsAsRoot: false },
    resources: DEFAULT_RESOURCES,
    constraints: NO_CONSTRAINTS,
    partition: DEFAULT_PARTITION_POLICY,
    readiness: { httpPath: null, deadlineMs: 60_000, aliveMs: 1000 },
    stopGraceMs: 5000,
    env: {},
    configVersion: 0,
    task: null,
    traceparent: null,
    ...patch,
  } as unknown as JobSpec;
}

export function unitRecord(patch: Partial<JobRecord> = {}, spec: JobSpec = unitSpec()): JobRecord {
  return {
    ...newRecord(spec, 1000, "boot-1"),
    envelope: { senderKey: "X", sealed: "s" },
    state: "preparing",
    ...patch,
  };
}
