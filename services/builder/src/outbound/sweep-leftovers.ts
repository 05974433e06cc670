/** Removes what builds leave on their engine, every few minutes: how much is `core/plan-build-garbage.ts`'s to say. */
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import { type BuildGarbageLimits, planBuildGarbage, usedPercent } from "../core/plan-build-garbage.ts";
import type { BuildEngine } from "./engine.ts";
import type { EngineGarbage } from "./engine-garbage.ts";

export interface SweepGiven {
  readonly engine: BuildEngine;
  readonly garbage: EngineGarbage;
  readonly log: Log;
  readonly limits: BuildGarbageLimits;
  readonly buildTimeoutMs: number;
  readonly servicesBuiltSince: (sinceMs: number) => Promise<ReadonlySet<string> | null>;
}

/** Names of built images: an engine that also runs apps then need not pull what it has. */
const IMAGE_KEPT_MS = 1_800_000;
const DISK_ALARM_PERCENT = 80;

/** One kind that cannot be removed now does not hold up the others. */
export async function sweepLeftovers(given: SweepGiven): Promise<void> {
  const { engine, garbage, log } = given;
  const disk = await garbage.disk();
  if (disk !== null && usedPercent(disk) >= DISK_ALARM_PERCENT)
    log.warn("disk.filling", { usedPercent: Math.floor(usedPercent(disk)), ...disk });
  const plan = planBuildGarbage(disk, given.limits, given.buildTimeoutMs);
  const work: Readonly<Record<string, () => Promise<unknown>>> = {
    containers: () => engine.removeOldContainers(plan.leftoversKeptMs),
    names: () => engine.removeOldImages(IMAGE_KEPT_MS),
    namelessBytes: () => garbage.pruneNameless(plan.leftoversKeptMs),
    layersBytes: () => garbage.pruneLayers(plan.layersKeptMs, plan.layersBytes),
    caches: async () => {
      const keep = await given.servicesBuiltSince(Date.now() - plan.servicesKeptMs);
      await engine.removeStaleCaches(keep);
    },
  };
  const removed: Record<string, unknown> = {};
  for (const [kind, remove] of Object.entries(work)) {
    try {
      removed[kind] = await remove();
    } catch (error) {
      log.warn("garbage.not-removed", { kind, error: describeError(error) });
    }
  }
  log.info("garbage.removed", { isFull: plan.isFull, ...removed });
}
