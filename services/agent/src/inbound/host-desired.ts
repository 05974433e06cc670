/** HostDesired: the whole set of jobs that must exist here. What a newer set does not name is stopped. */
import { HostDesired } from "@berth/shared/contracts/job.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { JobSet } from "../jobs/job-set.ts";

export function onHostDesired(bus: Bus, hostId: HostId, jobs: JobSet) {
  return bus.on(HostDesired, { hostId }, (set) => jobs.desire(set));
}
