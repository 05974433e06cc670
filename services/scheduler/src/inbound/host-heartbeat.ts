/** HostHeartbeat: the standing bid, and a whole list of jobs that heals every lost observation. */
import type { HostHeartbeat } from "@berth/shared/contracts/host.ts";
import type { z } from "zod";
import type { DesiredSets } from "../outbound/host-desired.ts";
import type { HostRegistry } from "../outbound/host-registry.ts";
import type { Observations } from "../outbound/observations.ts";

export function onHostHeartbeat(given: {
  observations: Observations;
  hosts: HostRegistry;
  desired: DesiredSets;
  wake: () => void;
}) {
  return async (heartbeat: z.infer<typeof HostHeartbeat.payload>): Promise<void> => {
    await given.hosts.heard(heartbeat);
    if (!heartbeat.whole) return;
    const { hostId, jobs } = heartbeat;
    // A list may come late: what it does not name counts from when it was made.
    const atMs = Math.min(heartbeat.atMs, Date.now());
    given.desired.report(hostId, { atMs, jobs: [...jobs, ...(heartbeat.unknown ?? [])] });
    const changed = await given.observations.takeWhole(hostId, atMs, jobs);
    if (changed) given.wake();
  };
}
