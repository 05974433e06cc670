/** Ids of the simulation: short, counted, and readable in a trace. Their form plays no part in any decision. */
import type { DeployId, HostId, JobId, ReleaseId, ServiceId } from "@berth/shared/domain/ids.ts";

export class Ids {
  #jobs = 0;

  nextJob(): JobId {
    this.#jobs += 1;
    return `job_${String(this.#jobs).padStart(3, "0")}` as JobId;
  }
}

export const hostId = (n: number): HostId => `hst_${n}` as HostId;
export const serviceId = (n: number): ServiceId => `svc_${n}` as ServiceId;
export const releaseId = (service: number, version: number): ReleaseId =>
  `rel_${service}v${version}` as ReleaseId;
export const deployId = (service: number, version: number): DeployId =>
  `dep_${service}v${version}` as DeployId;
