/**
 * The scheduler's own parts, wired as its main.ts wires them, in the benchmark's process: the lease, the hosts'
 * registry, heartbeats into the record, the auction's loop. The planning loop runs as well, with nothing to plan: jobs
 * come into the record as the planner would put them there.
 */
import { HostHeartbeat } from "@berth/shared/contracts/host.ts";
import { AwardJobs } from "@berth/shared/contracts/job.ts";
import type { JobId } from "@berth/shared/domain/ids.ts";
import { type Bus, connectBus } from "@berth/shared/kit/bus.ts";
import { connectDatabase } from "@berth/shared/kit/database.ts";
import { createLog } from "@berth/shared/kit/log.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import type { z } from "zod";
import { ActivityBook } from "../../../services/scheduler/src/core/activity-book.ts";
import { onHostHeartbeat } from "../../../services/scheduler/src/inbound/host-heartbeat.ts";
import { Auctioneer } from "../../../services/scheduler/src/outbound/auction.ts";
import {
  HeartbeatBook,
  storeBeats,
  touchHosts,
} from "../../../services/scheduler/src/outbound/heartbeat-book.ts";
import { DesiredSets } from "../../../services/scheduler/src/outbound/host-desired.ts";
import { HostRegistry } from "../../../services/scheduler/src/outbound/host-registry.ts";
import { contendForLeadership } from "../../../services/scheduler/src/outbound/leader.ts";
import { createObservations } from "../../../services/scheduler/src/outbound/observations.ts";
import { Rebalancer } from "../../../services/scheduler/src/outbound/rebalancer.ts";
import { createAuction, reconcile } from "../../../services/scheduler/src/outbound/reconcile.ts";
import { ReleaseImages } from "../../../services/scheduler/src/outbound/release-images.ts";
import { RestingServices } from "../../../services/scheduler/src/outbound/resting-services.ts";
import type { Tables } from "../../../services/scheduler/src/outbound/tables.ts";
import type { Parts } from "./parts.ts";

const limits = { deployDeadlineMs: 3_600_000, unplaceableAfterMs: 3_600_000, drainMs: 1000 };

export interface SchedulerSide {
  readonly db: ReturnType<typeof connectDatabase<Tables>>["db"];
  wake(): void;
  close(): Promise<void>;
}

export interface Witness {
  sent(jobId: JobId, atMs: number): void;
  /** A host's answer to the award has come, and it accepts. */
  acknowledged(jobId: JobId, atMs: number): void;
}

export async function startScheduler(parts: Parts, witness: Witness): Promise<SchedulerSide> {
  const log = createLog("bench-scheduler", "error");
  const database = connectDatabase<Tables>({ url: parts.databaseUrl, schema: "scheduler", log });
  const { db } = database;
  const bus = connectBus({ service: "scheduler", ...parts.scheduler, log });
  await bus.ready;
  const elected = Promise.withResolvers<void>();
  const leadership = contendForLeadership({ db, leaseMs: 4000, log, onElected: elected.resolve });
  await elected.promise;
  const hosts = new HostRegistry({ db, bus, log, limits: { suspectAfterMs: 6000, lostAfterMs: 10_000 } });
  const settings = { mode: "off", movesPerHour: 1, leastGain: 1, settleMs: 0 } as const;
  const rebalancer = new Rebalancer({ db, log, hosts, leadership, settings });
  let wake = (): void => {};
  const auctioneer = new Auctioneer({
    ...{ db, bus: listenIn(bus, witness), log, hosts, leadership, rebalancer },
    awardLeaseMs: 10_000,
    tell: () => undefined,
    wake: () => wake(),
  });
  const desired = new DesiredSets({ bus, log });
  const releaseImages = new ReleaseImages({ db, log });
  const resting = new RestingServices(db);
  const observations = createObservations({ db, log });
  const auction = new Reconciler({
    ...{ name: "auction", everyMs: 1000, log },
    run: createAuction({ db, leadership, auctioneer, desired }),
  });
  wake = auction.wake;
  const placement = new Reconciler({
    ...{ name: "placement", everyMs: 1000, restFactor: 2, log },
    run: () =>
      reconcile({
        ...{
          db,
          bus,
          log,
          leadership,
          hosts,
          auctioneer,
          rebalancer,
          desired,
          limits,
          readinessDeadlineMs: 60_000,
        },
        activity: new ActivityBook(),
        ...{ releaseImages, resting, committed: () => undefined, wakeAuction: auction.wake },
      }),
  });
  const book = new HeartbeatBook({
    ...{ log, desired, observations, wake: placement.wake },
    store: (beats) => storeBeats(db, beats),
    touch: (touched) => touchHosts(db, touched),
  });
  const heard = bus.on(HostHeartbeat, {}, onHostHeartbeat({ hosts, book }));
  const close = async (): Promise<void> => {
    await heard.close();
    await book.close();
    await Promise.all([placement.close(), auction.close()]);
    await leadership.close();
    await bus.close();
    await database.close();
  };
  return { db, wake: () => wake(), close };
}

/** The bus as it is, with a witness of the awards. */
function listenIn(bus: Bus, witness: Witness): Bus {
  const requestStored: Bus["requestStored"] = async (contract, tokens, data, options) => {
    const sentAtMs = performance.now();
    const reply = await bus.requestStored(contract, tokens, data, options);
    if (contract.name !== AwardJobs.name) return reply;
    const atMs = performance.now();
    // Validated by the bus already.
    const { answers } = reply as z.infer<typeof AwardJobs.reply>;
    for (const { jobId, answer } of answers) {
      witness.sent(jobId, sentAtMs);
      if (answer === "accepted") witness.acknowledged(jobId, atMs);
    }
    return reply;
  };
  const bound = Object.fromEntries(
    (["emit", "signal", "request", "on", "serve", "consume", "publishStored", "close"] as const).map(
      (name) => [name, bus[name].bind(bus)],
    ),
  );
  return { ...bound, requestStored, ready: bus.ready, connected: true } as unknown as Bus;
}
