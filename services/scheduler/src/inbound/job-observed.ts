/** JobObserved: an agent saw a job change. */
import type { JobObserved } from "@berth/shared/contracts/job.ts";
import { RotationChanged } from "@berth/shared/contracts/route.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import type { z } from "zod";
import type { Observations } from "../outbound/observations.ts";
import { tell } from "../outbound/reconcile.ts";

export function onJobObserved(given: { observations: Observations; bus: Bus; wake: () => void }) {
  return async ({ hostId, job }: z.infer<typeof JobObserved.payload>): Promise<void> => {
    const { concernsPlan, routesOf, told } = await given.observations.take(hostId, job);
    crashPoint("scheduler.observation-stored");
    tell(given.bus, told);
    if (routesOf !== null) given.bus.signal(RotationChanged, { serviceId: routesOf });
    if (concernsPlan) given.wake();
  };
}
