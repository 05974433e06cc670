/** Wiring of the scheduler. */

import { HostHeartbeat } from "@berth/shared/contracts/host.ts";
import { JobObserved } from "@berth/shared/contracts/job.ts";
import { DeployCancelRequested, ReleaseCreated, ServiceChanged } from "@berth/shared/contracts/release.ts";
import { RouteAcknowledged } from "@berth/shared/contracts/route.ts";
import { connectBus } from "@berth/shared/kit/bus.ts";
import { connectDatabase } from "@berth/shared/kit/database.ts";
import { createOutboxRelay } from "@berth/shared/kit/outbox.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import { runService } from "@berth/shared/kit/service.ts";
import { SchedulerConfig } from "./config.ts";
import { onHostHeartbeat } from "./inbound/host-heartbeat.ts";
import { onJobObserved } from "./inbound/job-observed.ts";
import { Auctioneer } from "./outbound/auction.ts";
import { DesiredSets } from "./outbound/host-desired.ts";
import { HostRegistry } from "./outbound/host-registry.ts";
import { contendForLeadership } from "./outbound/leader.ts";
import { createObservations } from "./outbound/observations.ts";
import { reconcile } from "./outbound/reconcile.ts";
import type { Tables } from "./outbound/tables.ts";

await runService("scheduler", SchedulerConfig, async ({ config, log, scope }) => {
  // Outbound: the only objects here that touch the world, closed last-in, first-out.
  const { db } = scope.use(connectDatabase<Tables>({ url: config.databaseUrl, schema: "scheduler", log }));
  const bus = scope.use(
    connectBus({
      service: "scheduler",
      url: config.natsUrl,
      credsFile: config.natsCredsFile,
      caFile: config.natsCaFile,
      log,
    }),
  );
  const relay = scope.use(createOutboxRelay({ db, bus, log }));
  let wake = (): void => {};
  const leadership = scope.use(
    contendForLeadership({ db, leaseMs: config.leaderLeaseMs, log, onElected: () => wake() }),
  );
  const hosts = new HostRegistry({
    db,
    bus,
    log,
    limits: { suspectAfterMs: config.suspectAfterMs, lostAfterMs: config.lostAfterMs },
  });
  const auctioneer = new Auctioneer({ db, bus, log, hosts, leadership, awardLeaseMs: config.awardLeaseMs });
  const desired = new DesiredSets({ bus, log });
  const observations = createObservations({ db, log });
  const limits = {
    deployDeadlineMs: config.deployDeadlineMs,
    unplaceableAfterMs: config.unplaceableAfterMs,
    drainMs: config.drainMs,
  };

  // One decision path. It takes no argument: an event may wake it, but only stored state steers it.
  const placement = scope.use(
    new Reconciler({
      name: "placement",
      everyMs: config.reconcileEveryMs,
      log,
      run: () =>
        reconcile({
          db,
          bus,
          log,
          leadership,
          hosts,
          auctioneer,
          desired,
          limits,
          readinessDeadlineMs: config.readinessDeadlineMs,
          committed: relay.wake,
        }),
    }),
  );
  wake = placement.wake;

  // Inbound: every message that can reach this process.
  const wakeUp = async () => placement.wake();
  scope.use(bus.consume(ReleaseCreated, {}, wakeUp));
  scope.use(bus.consume(ServiceChanged, {}, wakeUp));
  scope.use(bus.consume(DeployCancelRequested, {}, wakeUp));
  scope.use(bus.consume(RouteAcknowledged, {}, wakeUp));
  scope.use(bus.consume(JobObserved, {}, onJobObserved({ observations, bus, wake: placement.wake })));
  scope.use(
    bus.on(HostHeartbeat, {}, onHostHeartbeat({ observations, hosts, desired, wake: placement.wake })),
  );
});
