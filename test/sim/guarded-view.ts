/** What the scheduler's cores are given when one of their rules is switched off: values with which it never bites. */
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { PartitionPolicy } from "@berth/shared/domain/service-policy.ts";
import type { ServiceView } from "../../services/scheduler/src/core/views.ts";
import { LIMITS, type World } from "./world.ts";

/** The planner is told that nothing speaks against replacing, or starting, at once. */
export function asGuarded(world: World, view: ServiceView): ServiceView {
  if (world.on("stop-first") && world.on("single-writer-wait")) return view;
  const partition = (policy: PartitionPolicy): PartitionPolicy => ({
    ...policy,
    singleWriter: policy.singleWriter && world.on("stop-first"),
    replaceAfterMs:
      policy.singleWriter && !world.on("single-writer-wait") ? LIMITS.lostAfterMs : policy.replaceAfterMs,
  });
  return {
    ...view,
    policy: partition(view.policy),
    jobs: view.jobs.map((job) => ({ ...job, partition: partition(job.partition) })),
  };
}

/** With the freeze switched off the silent are never the majority. */
export function presentHosts(count: number) {
  return Array.from({ length: count }, (_, i) => ({
    hostId: `absent_${i}` as HostId,
    state: "alive" as const,
    lastHeartbeatAtMs: Number.MAX_SAFE_INTEGER,
  }));
}
