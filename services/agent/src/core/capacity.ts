/** What this host has left: measured totals minus what its jobs may use. The host's standing bid. */

import type { JobSpec } from "@berth/shared/contracts/job.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import type { HostState, Lot } from "@berth/shared/domain/placement.ts";
import { hostAlarms } from "./host-alarms.ts";
import { holdsResources, type JobRecord } from "./job-record.ts";
import { type CeilingLimits, type CeilingReadings, measureCeilings } from "./measure-ceilings.ts";

export interface Measured {
  readonly engineReachable: boolean;
  readonly memoryTotalBytes: number;
  readonly diskTotalBytes: number;
  readonly diskFreeBytes: number;
  readonly cpuTotalMillis: number;
  readonly imageDigests: readonly string[];
  readonly imageStoreFull: boolean;
  /** Container runtimes that the engine has. */
  readonly runtimes: readonly string[];
  /** What the removal of garbage would free at once: images that nobody needs. */
  readonly reclaimableBytes: number;
  /** Null before the first reading. */
  readonly readings: CeilingReadings | null;
}

export interface HostIdentity {
  readonly hostId: HostId;
  readonly name: string;
  readonly zone: string;
  readonly jobSlots: number;
  readonly reservedMemoryBytes: number;
  readonly reservedDiskBytes: number;
  /** From this share of used disk on, the host raises an alarm; 0 to 100. */
  readonly diskAlarmPercent: number;
  readonly limits: CeilingLimits;
}

/** How often a CPU is promised: shares are weights, and most apps idle. Memory is never promised twice. */
const CPU_PROMISES = 16;
const MOST_RECLAIMABLE_SHARE = 0.25;

export function hostState(host: HostIdentity, measured: Measured, records: readonly JobRecord[]): HostState {
  const held = records.filter(holdsResources);
  const memoryTotalBytes = Math.max(0, measured.memoryTotalBytes - host.reservedMemoryBytes);
  const memoryUsed = sum(held.map(({ spec }) => spec.resources.memoryBytes));
  const diskUsed = sum(held.map(({ spec }) => spec.resources.diskBytes));
  const cpuPromised = sum(held.map(({ spec }) => spec.resources.cpuMillis));
  // Garbage counts as free up to a bound: its removal takes a moment, and the engine has the last word on it.
  const reclaimable = Math.min(measured.reclaimableBytes, measured.diskTotalBytes * MOST_RECLAIMABLE_SHARE);
  const diskFree = measured.diskFreeBytes + reclaimable - host.reservedDiskBytes - diskUsed;
  const { readings } = measured;
  const ceilings =
    readings === null ? [] : measureCeilings(readings, host.limits, pendingCount(held, readings.atMs));
  return {
    hostId: host.hostId,
    name: host.name,
    zone: host.zone,
    memoryTotalBytes,
    memoryFreeBytes: Math.max(0, memoryTotalBytes - memoryUsed),
    diskTotalBytes: measured.diskTotalBytes,
    diskFreeBytes: Math.max(0, diskFree),
    cpuTotalMillis: measured.cpuTotalMillis,
    cpuFreeMillis: Math.max(0, measured.cpuTotalMillis * CPU_PROMISES - cpuPromised),
    ceilings,
    runtimes: [...measured.runtimes],
    volumes: [],
    jobSlotsTotal: host.jobSlots,
    jobSlotsFree: Math.max(0, host.jobSlots - held.length),
    startingCount: held.filter((record) => !record.ready && !record.stopWanted && record.state !== "frozen")
      .length,
    // Sleeping ones too: they are to wake where they do not crowd.
    instancesByService: countByService(records.filter(({ state }) => !isFinal(state))),
    imageDigests: measured.imageDigests.slice(0, 1000),
    cordoned: false,
    unavailable: unavailable(measured),
    alarms: hostAlarms(host, measured, ceilings),
  };
}

/** Jobs whose containers the readings did not see: not started yet, or after the readings began. */
function pendingCount(held: readonly JobRecord[], readAtMs: number): number {
  return held.filter(({ address, startedAtMs }) => address === null || (startedAtMs ?? readAtMs) >= readAtMs)
    .length;
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
