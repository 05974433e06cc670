/** Sleep: what the activator asks, and the scheduler's word that a sleep is over. */
import { join } from "node:path";
import { ACTIVATOR_SOCKET, type Door } from "@berth/shared/contracts/activator.ts";
import { WakeJobs } from "@berth/shared/contracts/sleep.ts";
import { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import { ActivatorDesk } from "../activator/activator-desk.ts";
import { tellHostname } from "../activator/tell-hostname.ts";
import { Wakes } from "../activator/wakes.ts";
import type { JobSet } from "../jobs/job-set.ts";
import type { AgentContext, HostParts } from "./host-parts.ts";

export interface ActivatorGiven {
  readonly jobs: JobSet;
  /** Asks for newer route tables. */
  readonly askTables: () => void;
}

export async function serveActivator(
  { config, log, scope }: AgentContext,
  { bus, edge, host, proxies, activatorChanges }: HostParts,
  { jobs, askTables }: ActivatorGiven,
): Promise<void> {
  const changed = () => desk.changed();
  const wakes = scope.use(
    new Wakes({
      ...{ bus, log, changed },
      hostId: host.hostId,
      wakeHere: (serviceId, epoch) => jobs.wakeService(serviceId, epoch),
      servesHere: (serviceId) =>
        jobs.records().some(({ spec, ready }) => ready && spec.serviceId === serviceId),
      isBehind: askTables,
    }),
  );
  /** Through an environment's door comes who asks for its own host names. */
  const siteOf = ({ hostname, environmentId }: Door) =>
    environmentId === undefined || edge.ownerOf(hostname) === environmentId ? edge.site(hostname) : undefined;
  const desk: ActivatorDesk = scope.use(
    new ActivatorDesk({
      socketPath: join(config.hostDir, ACTIVATOR_SOCKET),
      log,
      listens: (port) => {
        edge
          .setActivator(port)
          .catch((error: unknown) => log.error("activator.not-set", { error: describeError(error) }));
      },
      doors: () => proxies.environments().map((id) => EnvironmentId.parse(id)),
      wake: (door) => {
        const site = siteOf(door);
        if (site?.sleep !== undefined) wakes.end(site.serviceId, site.sleep.epoch);
      },
      tell: (door) => {
        const isEnded = (id: string, epoch: number) => wakes.isEnded(id, epoch);
        return { ...tellHostname(door.hostname, siteOf(door), isEnded, jobs.records()), ...door };
      },
    }),
  );
  await desk.open();
  activatorChanges.add(changed);
  scope.use(
    bus.on(WakeJobs, { hostId: host.hostId }, async ({ jobs: named }) => {
      for (const job of named) jobs.wakeJob(job);
    }),
  );
}
