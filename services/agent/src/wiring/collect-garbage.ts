/** The removal of garbage: a loop of its own, slow, which no job waits for. */
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import { ChangingPeriod, isResting } from "../core/host-rest.ts";
import { GarbageCollector } from "../jobs/garbage-collector.ts";
import type { ImagePuller } from "../jobs/image-puller.ts";
import type { JobSet } from "../jobs/job-set.ts";
import { EngineStore } from "../outbound/engine-store.ts";
import { ImageUses } from "../outbound/image-uses.ts";
import type { AgentContext, HostParts } from "./host-parts.ts";

const EVERY_MS = 60_000;
/** On a host where everything sleeps and the disk has room: listing a thousand containers is work. */
const RESTING_MS = 600_000;
const HOUR_MS = 3_600_000;

export function collectGarbage(
  { config, clock, log, scope }: AgentContext,
  { host, meter }: HostParts,
  jobs: JobSet,
  puller: ImagePuller,
): void {
  const collector = new GarbageCollector({
    store: new EngineStore(config.dockerSocket, host.podId),
    uses: new ImageUses(config.hostDir),
    jobs,
    puller,
    meter,
    registry: host.registry,
    reservedDiskBytes: config.reservedDiskBytes,
    limits: {
      imageKeptMs: config.imageKeptHours * HOUR_MS,
      volumeKeptMs: config.volumeKeptHours * HOUR_MS,
      startPercent: config.garbageStartPercent,
      endPercent: Math.min(config.garbageEndPercent, config.garbageStartPercent),
    },
    clock,
    log,
  });
  const period = new ChangingPeriod();
  const hasRoom = () => meter.disk.freeBytes > meter.disk.totalBytes * (1 - config.garbageStartPercent / 100);
  const run = async (): Promise<void> => {
    const isAtRest = hasRoom() && isResting(jobs.records());
    if (period.isDue(isAtRest ? RESTING_MS : 0, clock.monotonicMs())) await collector.collect();
  };
  scope.use(new Reconciler({ name: "garbage", everyMs: EVERY_MS, log, run }));
}
