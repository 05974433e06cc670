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
    const word = await given.hosts.heard(heartbeat);
    if (word === "refused") return;
    const settled = word === "settled";
    // Stored: from here on the host's silence counts from later than this beat was sent.
    const { bootId, monotonicMs, hostId, jobs, unknown = [] } = heartbeat;
    if (settled && monotonicMs !== undefined) given.desired.answer(hostId, { bootId, monotonicMs });
    if (!heartbeat.whole) return;
    // A list may come late: what it does not name counts from when it was made, and not at all beside another's.
    const atMs = settled ? Math.min(heartbeat.atMs, Date.now()) : 0;
    if (settled) given.desired.report(hostId, { atMs, jobs: [...jobs, ...unknown] });
    const changed = await given.observations.takeWhole(hostId, atMs, jobs, unknown);
    if (changed) given.wake();
  };
}
