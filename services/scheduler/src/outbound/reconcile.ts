/** One round of the scheduler: read whole, plan each service, carry out, auction, tell the hosts. */
import { DeployProgressed } from "@berth/shared/contracts/deploy.ts";
import { RotationChanged } from "@berth/shared/contracts/route.ts";
import type { DeployId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { Kysely } from "kysely";
import { planService } from "../core/plan-service.ts";
import type { PlanLimits } from "../core/views.ts";
import type { Auctioneer } from "./auction.ts";
import type { DesiredSets } from "./host-desired.ts";
import type { HostRegistry } from "./host-registry.ts";
import type { Leadership } from "./leader.ts";
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
  readonly desired: DesiredSets;
  readonly limits: PlanLimits;
  readonly readinessDeadlineMs: number;
  /** The outbox has something. */
  readonly committed: () => void;
}

/** Rounds that one wake may take: each follows from what the one before wrote. */
const MAX_ROUNDS = 8;

export async function reconcile(given: RoundGiven): Promise<void> {
  if (given.leadership.epoch === null) return;
  await given.hosts.judge((trx) => given.leadership.fence(trx));
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const snapshot = await readSnapshot(given.db, given.auctioneer.unplaceable, given.desired.reported());
    let planned = 0;
    for (const service of snapshot.services) {
      const steps = planService(service, Date.now(), given.limits);
      if (steps.length === 0) continue;
      planned += steps.length;
      tell(given.bus, await applySteps(given, service.serviceId, steps));
      if (steps.some((step) => step.kind === "set-rotation")) {
        given.bus.signal(RotationChanged, { serviceId: service.serviceId });
      }
    }
    if (planned > 0) {
      given.committed();
      continue;
    }
    const auction = await given.auctioneer.run(snapshot, given.desired.heldLater(snapshot));
    tell(given.bus, auction.progress);
    const leaderEpoch = given.leadership.epoch;
    if (leaderEpoch !== null) given.desired.send(snapshot, leaderEpoch);
    if (!auction.again) return;
  }
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
