/** HostHeartbeat: the standing bid, and a whole list of jobs that heals every lost observation. */
import type { HostHeartbeat } from "@berth/shared/contracts/host.ts";
import type { z } from "zod";
import type { HeartbeatBook } from "../outbound/heartbeat-book.ts";
import type { HostRegistry } from "../outbound/host-registry.ts";

export function onHostHeartbeat(given: { hosts: HostRegistry; book: HeartbeatBook }) {
  return async (heartbeat: z.infer<typeof HostHeartbeat.payload>): Promise<void> => {
    const heard = await given.hosts.heard(heartbeat);
    if (heard !== null) given.book.take(heard);
  };
}
