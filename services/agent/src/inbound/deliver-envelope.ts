/** DeliverEnvelope: a job's sealed variables and pull token, taken only for a job that this host holds. */
import { DeliverEnvelope } from "@berth/shared/contracts/secret.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { JobSet } from "../jobs/job-set.ts";

export function serveDeliverEnvelope(bus: Bus, hostId: HostId, jobs: JobSet) {
  return bus.serve(DeliverEnvelope, { hostId }, async ({ jobId, epoch, senderKey, sealed }) => ({
    outcome: await jobs.deliver(jobId, epoch, { senderKey, sealed }),
  }));
}
