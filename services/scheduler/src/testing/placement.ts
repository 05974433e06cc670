/** An empty host, and a lot of one replica, for tests of where lots go. */
import type { DeployId, HostId, JobId, OrgId, ServiceId } from "@berth/shared/domain/ids.ts";
import { type HostState, NO_CONSTRAINTS } from "@berth/shared/domain/placement.ts";
import { DEFAULT_RESOURCES, GIB } from "@berth/shared/domain/resources.ts";
import type { BatchLot } from "../core/batch-lot.ts";

export function host(n: number, given: Partial<HostState> = {}): HostState {
  return {
    hostId: `hst_${n}` as HostId,
    name: `host-${n}`,
    zone: "a",
    memoryTotalBytes: 4 * GIB,
    memoryFreeBytes: 4 * GIB,
    diskTotalBytes: 100 * GIB,
    diskFreeBytes: 100 * GIB,
    cpuTotalMillis: 2000,
    cpuFreeMillis: 1_000_000,
    ceilings: [],
    runtimes: ["runc"],
    volumes: [],
    jobSlotsTotal: 100,
    jobSlotsFree: 100,
    startingCount: 0,
    instancesByService: {},
    imageDigests: [],
    cordoned: false,
    unavailable: [],
    alarms: [],
    ...given,
  };
}

export function lot(n: number, given: Partial<BatchLot> = {}): BatchLot {
  return {
    jobId: `job_${n}` as JobId,
    orgId: "org_a" as OrgId,
    serviceId: "svc_a" as ServiceId,
    constraints: NO_CONSTRAINTS,
    process: "web",
    slot: n,
    deployId: "dpl_a" as DeployId,
    resources: DEFAULT_RESOURCES,
    imageDigest: "sha256:x",
    imageBytes: 0,
    declinedBy: new Map(),
    ...given,
  };
}
