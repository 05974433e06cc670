/** WakeService: a request came for a service that sleeps. Its hosts are told at once; the desired sets say it again. */
import { RotationChanged } from "@berth/shared/contracts/route.ts";
import { WakeJobs, type WakeService } from "@berth/shared/contracts/sleep.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { Kysely } from "kysely";
import type { z } from "zod";
import { wakeService } from "../outbound/sleeps.ts";
import type { Tables } from "../outbound/tables.ts";

interface Given {
  readonly db: Kysely<Tables>;
  readonly bus: Bus;
  readonly log: Log;
  readonly wake: () => void;
}

const JOBS_PER_MESSAGE = 500;

export function onWakeService({ db, bus, log, wake }: Given) {
  return async ({ hostId, serviceId, epoch }: z.infer<typeof WakeService.payload>) => {
    const { outcome, jobs } = await wakeService(db, serviceId, epoch, hostId);
    if (outcome !== "woken") return { outcome };
    const byHost = Map.groupBy(jobs, (job) => job.hostId);
    for (const [holder, group] of byHost) {
      if (holder === null) continue;
      const named = group.map((job) => ({ jobId: job.jobId, epoch: job.epoch, sleepEpoch: epoch }));
      bus.signal(WakeJobs, { hostId: holder, jobs: named.slice(0, JOBS_PER_MESSAGE) });
    }
    bus.signal(RotationChanged, { serviceId });
    log.info("service.woken", { serviceId, epoch, by: hostId, jobs: jobs.length });
    wake();
    return { outcome };
  };
}
