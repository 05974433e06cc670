/** What this host has left: measured totals minus what its jobs may use. The host's standing bid. */

import type { JobSpec } from "@berth/shared/contracts/job.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { HostState, Lot } from "@berth/shared/domain/placement.ts";
import { holdsResources, type JobRecord } from "./job-record.ts";

export interface Measured {
  readonly engineReachable: boolean;
  readonly memoryTotalBytes: number;
  readonly diskTotalBytes: number;
  readonly diskFreeBytes: number;
  readonly cpuTotalMillis: number;
  readonly imageDigests: readonly string[];
  readonly imageStoreFull: boolean;
}

export interface HostIdentity {
  readonly hostId: HostId;
  readonly name: string;
  readonly zone: string;
  readonly jobSlots: number;
  readonly reservedMemoryBytes: number;
  readonly reservedDiskBytes: number;
}

/** How often a CPU is promised: shares are weights, and most apps idle. Memory is never promised twice. */
const CPU_PROMISES = 16;

export function hostState(host: HostIdentity, measured: Measured, records: readonly JobRecord[]): HostState {
  const held = records.filter(holdsResources);
  const memoryTotalBytes = Math.max(0, measured.memoryTotalBytes - host.reservedMemoryBytes);
  const memoryUsed = sum(held.map(({ spec }) => spec.resources.memoryBytes));
  const diskUsed = sum(held.map(({ spec }) => spec.resources.diskBytes));
  const cpuPromised = sum(held.map(({ spec }) => spec.resources.cpuMillis));
  const diskFree = Math.max(0, measured.diskFreeBytes - host.reservedDiskBytes - diskUsed);
  return {
    hostId: host.hostId,
    name: host.name,
    zone: host.zone,
    memoryTotalBytes,
    memoryFreeBytes: Math.max(0, memoryTotalBytes - memoryUsed),
    diskTotalBytes: measured.diskTotalBytes,
    diskFreeBytes: diskFree,
    cpuTotalMillis: measured.cpuTotalMillis,
    cpuFreeMillis: Math.max(0, measured.cpuTotalMillis * CPU_PROMISES - cpuPromised),
    ceilings: [],
    runtimes: ["runc"],
    volumes: [],
    jobSlotsTotal: host.jobSlots,
    jobSlotsFree: Math.max(0, host.jobSlots - held.length),
    startingCount: held.filter((record) => !record.ready && !record.stopWanted).length,
    instancesByService: countByService(held),
    imageDigests: measured.imageDigests.slice(0, 1000),
    cordoned: false,
    unavailable: unavailable(measured),
  };
}

function unavailable(measured: Measured): string[] {
  const reasons: string[] = [];
  if (!measured.engineReachable || measured.memoryTotalBytes <= 0) reasons.push("engine-unreachable");
  if (measured.imageStoreFull) reasons.push("image-store-full");
  return reasons;
}

function countByService(held: readonly JobRecord[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { spec } of held) counts[spec.serviceId] = (counts[spec.serviceId] ?? 0) + 1;
  return counts;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, value) => total + value, 0);
}

export function lotOf(spec: JobSpec): Lot {
  return {
    jobId: spec.jobId,
    orgId: spec.orgId,
    serviceId: spec.serviceId,
    process: spec.process,
    resources: spec.resources,
    imageDigest: spec.image.digest,
    imageBytes: spec.image.bytes,
    constraints: spec.constraints,
  };
}
