/** Whether a job that slept has its memory, disk and slot on this host again. Where it may run was decided before. */
import { type HostState, NO_CONSTRAINTS, type Refusal, refuse } from "@berth/shared/domain/placement.ts";
import { lotOf } from "./capacity.ts";
import { holdsResources, type JobRecord } from "./job-record.ts";

/** @param state of the host without what the job would take again */
export function refuseWake(record: JobRecord, state: HostState): Refusal | null {
  if (holdsResources(record)) return null;
  return refuse(state, { ...lotOf(record.spec), constraints: NO_CONSTRAINTS });
}
