/**
 * What edges said of requests in flight, of the last seconds.
 *
 * What must stay true: a load is known only when every live edge was heard within them.
 */
import type { HostId, ServiceId } from "@berth/shared/domain/ids.ts";

/** Five reports: one number at one instant says little. */
const WINDOW_MS = 10_000;

interface Report {
  readonly atMs: number;
  readonly inFlight: ReadonlyMap<string, number>;
}

export class LoadBook {
  readonly #reports = new Map<HostId, readonly Report[]>();

  take(hostId: HostId, inFlight: Readonly<Record<string, number>>, nowMs: number): void {
    const kept = this.#recent(hostId, nowMs);
    this.#reports.set(hostId, [...kept, { atMs: nowMs, inFlight: new Map(Object.entries(inFlight)) }]);
  }

  /** @param hosts whose edges may serve requests. @returns mean requests in flight at all of them together; null: not known */
  inFlight(serviceId: ServiceId, hosts: readonly HostId[], nowMs: number): number | null {
    let sum = 0;
    for (const hostId of hosts) {
      const reports = this.#recent(hostId, nowMs);
      if (reports.length === 0) return null;
      sum +=
        reports.reduce((total, { inFlight }) => total + (inFlight.get(serviceId) ?? 0), 0) / reports.length;
    }
    return hosts.length === 0 ? null : sum;
  }

  #recent(hostId: HostId, nowMs: number): readonly Report[] {
    return (this.#reports.get(hostId) ?? []).filter(({ atMs }) => nowMs - atMs <= WINDOW_MS);
  }
}
