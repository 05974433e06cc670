/**
 * The two loops of the scheduler. Planning: read all but what rests, plan each service, carry out, tell the hosts. Auction: read what
 * waits, place it, store and send the awards.
 */
import { DeployProgressed } from "@berth/shared/contracts/deploy.ts";
import { RotationChanged } from "@berth/shared/contracts/route.ts";
import type { DeployId, JobId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { Kysely } from "kysely";
import type { ActivityBook } from "../core/activity-book.ts";
import { ASK_AGAIN_MS } from "../core/ask-again.ts";
import { planService } from "../core/plan-service.ts";
import type { PlanLimits } from "../core/views.ts";
import type { Auctioneer } from "./auction.ts";
import { auctionPages } from "./auction-view.ts";
import { BoardReader } from "./board-reader.ts";
import type { ColdStartBook } from "./cold-start-book.ts";
import type { DesiredSets } from "./host-desired.ts";
import type { HostRegistry } from "./host-registry.ts";
import type { Leadership } from "./leader.ts";
import type { Rebalancer } from "./rebalancer.ts";
import type { ReleaseImages } from "./release-images.ts";
import type { RestingServices } from "./resting-services.ts";
import { readSnapshot } from "./snapshot.ts";
import type { Progress } from "./steps.ts";
import { applySteps } from "./steps.ts";
import type { Tables } from "./tables.ts";

export interface RoundGiven {
  readonly db: Kysely<Tables>;
  readonly bus: Bus;
  readonly log: Log;
  readonly leadership: Leadership;
  readonly hosts: HostRegistry;
  readonly auctioneer: Auctioneer;
  readonly rebalancer: Rebalancer;
  readonly desired: DesiredSets;
  readonly releaseImages: ReleaseImages;
  readonly resting: RestingServices;
  readonly activity: ActivityBook;
  readonly limits: PlanLimits;
  readonly readinessDeadlineMs: number;
  readonly coldStarts?: ColdStartBook;
  /** The outbox has something. */
  readonly committed: () => void;
  /** Jobs may wait for a host. */
  readonly wakeAuction: () => void;
}

/** Rounds that one wake may take: each follows from what the one before wrote. */
const MAX_ROUNDS = 8;

export async function reconcile(given: RoundGiven): Promise<void> {
  if (given.leadership.epoch === null) return given.resting.readAll();
  try {
    await runRounds(given);
  } catch (error) {
    given.resting.readAll();
    throw error;
  }
}

async function runRounds(given: RoundGiven): Promise<void> {
  await given.hosts.judge((trx) => given.leadership.fence(trx));
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const beats = given.desired.beats();
    const part = await given.resting.part();
    const snapshot = await readSnapshot(given.db, {
      unplaceable: given.auctioneer.unplaceable,
      reported: given.desired.reported(),
      frozenHosts: given.hosts.frozenHosts,
      activity: given.activity,
      part,
    });
    const planned = new Set<ServiceId>();
    for (const service of snapshot.services) {
      const steps = planService(service, Date.now(), given.limits);
      if (steps.length === 0) continue;
      planned.add(service.serviceId);
      tell(given.bus, await applySteps(given, service.serviceId, steps));
      if (steps.some((step) => step.kind === "set-rotation" || step.kind === "step-sleep")) {
        given.bus.signal(RotationChanged, { serviceId: service.serviceId });
      }
    }
    given.resting.note(snapshot, (serviceId) => planned.has(serviceId));
    if (planned.size > 0) {
      given.committed();
      given.wakeAuction();
      continue;
    }
    const moved = await given.rebalancer.run(snapshot);
    if (moved === "needs-all") given.resting.readAll();
    if (moved !== "nothing") continue;
    given.wakeAuction();
    const leaderEpoch = given.leadership.epoch;
    const releases = await given.releaseImages.recent(Date.now());
    if (leaderEpoch !== null) await given.desired.send(snapshot, leaderEpoch, beats, releases);
    return;
  }
}

/** One auction of all that waits, batch by batch. Runs beside the planning: what one stores the other reads the next time. */
export function createAuction(given: Pick<RoundGiven, "db" | "leadership" | "auctioneer" | "desired">) {
  const board = new BoardReader(given.db);
  return async (): Promise<void> => {
    if (given.leadership.epoch === null) return;
    const waiting = new Set<JobId>();
    for await (const jobs of auctionPages(given.db, ASK_AGAIN_MS)) {
      const open = jobs.filter((job) => job.state !== "requested" || !given.desired.isHeldLater(job));
      for (const { id, state } of open) if (state === "requested") waiting.add(id);
      if (open.length > 0) await given.auctioneer.run(open, await board.current());
    }
    given.auctioneer.forgetOthers(waiting);
  };
}

/** Sends lines to whoever waits for the deploys. */
export function tell(bus: Bus, progress: readonly Progress[]): void {
  const byDeploy = Map.groupBy(progress, (one) => one.deployId);
  for (const [deployId, group] of byDeploy) {
    bus.signal(DeployProgressed, {
      deployId: deployId as DeployId,
      kind: "step",
      lines: group.map((one) => one.line),
      atMs: Date.now(),
    });
  }
}
