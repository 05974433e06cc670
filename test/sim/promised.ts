/** Lots on their way to a host: they count as taken there until it answered, whatever heartbeats say meanwhile. */
import type { HostId } from "@berth/shared/domain/ids.ts";
import { type HostState, type Lot, reserve } from "@berth/shared/domain/placement.ts";

export class Promised {
  readonly #lots = new Map<HostId, Set<readonly Lot[]>>();

  /** @returns what to call when the host answered, or did not in time */
  add(hostId: HostId, lots: readonly Lot[]): () => void {
    const groups = this.#lots.get(hostId) ?? new Set();
    groups.add(lots);
    this.#lots.set(hostId, groups);
    return () => groups.delete(lots);
  }

  on(state: HostState): HostState {
    return [...(this.#lots.get(state.hostId) ?? [])].flat().reduce(reserve, state);
  }
}
