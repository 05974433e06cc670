/**
 * What edges said of requests: since when nobody asked for a service, at any of them.
 *
 * What must stay true: a service is never called quiet for longer than every live edge was heard without a gap. Nothing
 * is kept over a restart: who begins to listen knows nothing of what was before.
 */
import type { HostId, ServiceId } from "@berth/shared/domain/ids.ts";

/** Three reports: what an edge tells is told three times, so this much silence loses nothing. */
const GAP_MS = 6000;
/** An edge that says nothing for so long may have served anything. */
const SILENT_MS = 10_000;

interface Edge {
  readonly watchId: string;
  /** Heard without a gap from here on. */
  readonly sinceMs: number;
  readonly heardAtMs: number;
  readonly activeAtMs: Map<ServiceId, number>;
}

export class ActivityBook {
  readonly #edges = new Map<HostId, Edge>();

  take(hostId: HostId, watchId: string, active: readonly ServiceId[], nowMs: number): void {
    const known = this.#edges.get(hostId);
    const goesOn = known?.watchId === watchId && nowMs - known.heardAtMs <= GAP_MS;
    const edge = goesOn ? known : { watchId, sinceMs: nowMs, activeAtMs: new Map<ServiceId, number>() };
    for (const serviceId of active) edge.activeAtMs.set(serviceId, nowMs);
    this.#edges.set(hostId, { ...edge, heardAtMs: nowMs });
  }

  /** @param hosts whose edges may serve requests. @returns null when one of them was not heard */
  quietSinceMs(serviceId: ServiceId, hosts: readonly HostId[], nowMs: number): number | null {
    let quietMs = 0;
    for (const hostId of hosts) {
      const edge = this.#edges.get(hostId);
      if (edge === undefined || nowMs - edge.heardAtMs > SILENT_MS) return null;
      quietMs = Math.max(quietMs, edge.sinceMs, edge.activeAtMs.get(serviceId) ?? 0);
    }
    return hosts.length === 0 ? null : quietMs;
  }
}
