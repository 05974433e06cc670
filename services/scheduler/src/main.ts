/** Wiring of the scheduler. */

import { HostHeartbeat } from "@berth/shared/contracts/host.ts";
import { JobObserved } from "@berth/shared/contracts/job.ts";
import { PlanRebalance } from "@berth/shared/contracts/rebalance.ts";
import { DeployCancelRequested, ReleaseCreated, ServiceChanged } from "@berth/shared/contracts/release.ts";
import { RouteAcknowledged } from "@berth/shared/contracts/route.ts";
import { EdgeActivity, WakeService } from "@berth/shared/contracts/sleep.ts";
import { connectBus } from "@berth/shared/kit/bus.ts";
import { connectDatabase } from "@berth/shared/kit/database.ts";
import { createOutboxRelay } from "@berth/shared/kit/outbox.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import { runService } from "@berth/shared/kit/service.ts";
import { SchedulerConfig } from "./config.ts";
import { ActivityBook } from "./core/activity-book.ts";
import { LoadBook } from "./core/load-book.ts";
import { onHostHeartbeat } from "./inbound/host-heartbeat.ts";
import { onJobObserved } from "./inbound/job-observed.ts";
import { onPlanRebalance } from "./inbound/plan-rebalance.ts";
import { onWakeService } from "./inbound/wake-service.ts";
import { Auctioneer } from "./outbound/auction.ts";
import { AUTOSCALE_EVERY_MS, createAutoscaler } from "./outbound/autoscaler.ts";
import { ColdStartBook } from "./outbound/cold-start-book.ts";
import { trimEvents } from "./outbound/events.ts";
import { HeartbeatBook, storeBeats, touchHosts } from "./outbound/heartbeat-book.ts";
import { DesiredSets } from "./outbound/host-desired.ts";
import { HostRegistry } from "./outbound/host-registry.ts";
import { contendForLeadership } from "./outbound/leader.ts";
import { createObservations } from "./outbound/observations.ts";
import { Rebalancer } from "./outbound/rebalancer.ts";
import { createAuction, reconcile, tell } from "./outbound/reconcile.ts";
import { ReleaseImages } from "./outbound/release-images.ts";
import { RestingServices } from "./outbound/resting-services.ts";
import type { Tables } from "./outbound/tables.ts";
import { CronWatch, makeTasks, trimTasks } from "./outbound/task-orders.ts";

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
  const rebalancer = new Rebalancer({
    ...{ db, log, hosts, leadership },
    settings: {
      mode: config.rebalance,
      movesPerHour: config.rebalanceMovesPerHour,
      leastGain: config.rebalanceLeastGain,
      settleMs: config.rebalanceSettleMs,
    },
  });
  let wakeAuction = (): void => {};
  const auctioneer = new Auctioneer({
    ...{ db, bus, log, hosts, leadership, rebalancer, awardLeaseMs: config.awardLeaseMs },
    tell: (progress) => tell(bus, progress),
    wake: () => wakeAuction(),
  });
  const desired = new DesiredSets({ bus, log });
  const releaseImages = new ReleaseImages({ db, log });
  const resting = new RestingServices(db);
  const crons = new CronWatch();
  const activity = new ActivityBook();
  const observations = createObservations({ db, log });
  const limits = {
    deployDeadlineMs: config.deployDeadlineMs,
    unplaceableAfterMs: config.unplaceableAfterMs,
    drainMs: config.drainMs,
  };

  // Two decision paths, plan and auction. They take no argument: an event may wake them, only stored state steers them.
  const placement = scope.use(
    new Reconciler({
      name: "placement",
      restFactor: 2,
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
          rebalancer,
          desired,
          releaseImages,
          resting,
          activity,
          limits,
          readinessDeadlineMs: config.readinessDeadlineMs,
          coldStarts: new ColdStartBook(),
          committed: () => {
            crons.lookAgain();
            relay.wake();
          },
          wakeAuction: () => wakeAuction(),
        }),
    }),
  );
  wake = placement.wake;
  const auction = scope.use(
    new Reconciler({
      name: "auction",
      everyMs: config.reconcileEveryMs,
      log,
      run: createAuction({ db, leadership, auctioneer, desired }),
    }),
  );
  wakeAuction = auction.wake;
  const tasks = scope.use(
    new Reconciler({
      name: "tasks",
      everyMs: config.reconcileEveryMs,
      log,
      run: () => makeTasks({ db, leadership, crons, wakeAuction: () => wakeAuction() }),
    }),
  );
  const loads = new LoadBook();
  const rescaled = () => {
    resting.readAll();
    placement.wake();
  };
  scope.use(
    new Reconciler({
      name: "autoscale",
      everyMs: AUTOSCALE_EVERY_MS,
      log,
      run: createAutoscaler({ db, leadership, bus, log, loads, changed: rescaled }),
    }),
  );
  const trim = async () => {
    await trimEvents(db);
    await trimTasks(db);
  };
  scope.use(new Reconciler({ name: "trim-events", everyMs: 300_000, log, run: trim }));

  // Inbound: every message that can reach this process.
  const wakeUp = async () => {
    crons.lookAgain();
    placement.wake();
    tasks.wake();
  };
  const orderedByOwner = () => {
    resting.readAll();
    return wakeUp();
  };
  scope.use(bus.serve(PlanRebalance, {}, onPlanRebalance({ db, hosts, rebalancer })));
  scope.use(
    bus.on(EdgeActivity, {}, async ({ hostId, watchId, active, inFlight }) => {
      activity.take(hostId, watchId, active, Date.now());
      if (inFlight !== undefined) loads.take(hostId, inFlight, Date.now());
    }),
  );
  scope.use(bus.serve(WakeService, {}, onWakeService({ db, bus, log, wake: placement.wake })));
  scope.use(bus.consume(ReleaseCreated, {}, orderedByOwner));
  scope.use(bus.consume(ServiceChanged, {}, orderedByOwner));
  scope.use(bus.consume(DeployCancelRequested, {}, orderedByOwner));
  scope.use(bus.consume(RouteAcknowledged, {}, wakeUp));
  scope.use(bus.consume(JobObserved, {}, onJobObserved({ observations, bus, wake: placement.wake })));
  const book = scope.use(
    new HeartbeatBook({
      ...{ log, desired, observations, wake: placement.wake },
      store: (beats) => storeBeats(db, beats),
      touch: (touched) => touchHosts(db, touched),
    }),
  );
  scope.use(bus.on(HostHeartbeat, {}, onHostHeartbeat({ hosts, book })));
});
