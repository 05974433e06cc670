/**
 * The promise: one host's loss never leaves a service below desired − 1 for longer than it takes to notice the loss
 * and start elsewhere. Any other trouble at the same time starts the clock anew.
 */
import type { ServiceId } from "@berth/shared/domain/ids.ts";
import { DEFAULT_PARTITION_POLICY } from "@berth/shared/domain/service-policy.ts";
import { Violation } from "./invariants.ts";
import type { World } from "./world.ts";

/** Of the design: serves elsewhere, from the loss to the last edge that has the route. */
const PROMISE_MS = 15_000;
const LOOK_EVERY_MS = 250;

export class ServingWatch {
  readonly #world: World;
  #nextLookMs = 0;
  #calmSinceMs = 0;
  readonly #belowSinceMs = new Map<ServiceId, number>();

  constructor(world: World) {
    this.#world = world;
  }

  look(): void {
    const { timeline, store } = this.#world;
    const { nowMs } = timeline;
    if (nowMs < this.#nextLookMs) return;
    this.#nextLookMs = nowMs + LOOK_EVERY_MS;
    if (!this.#onlyOneHostIsAway()) this.#calmSinceMs = nowMs;
    for (const [service, release] of store.now.serving) {
      const desired = store.now.scale.get(service) ?? 1;
      // Who waits longer for a silent host, or stops by itself, is promised nothing.
      if ((store.now.policies.get(service) ?? DEFAULT_PARTITION_POLICY) !== DEFAULT_PARTITION_POLICY)
        continue;
      const open = [...store.now.deploys.values()].some(
        (one) => one.serviceId === service && one.state !== "succeeded",
      );
      if (open || this.#healthy(release) >= desired - 1) {
        this.#belowSinceMs.set(service, nowMs);
        continue;
      }
      const sinceMs = Math.max(this.#belowSinceMs.get(service) ?? nowMs, this.#calmSinceMs);
      if (nowMs - sinceMs > PROMISE_MS)
        throw new Violation("serving-holds", `${service} has ${this.#healthy(release)} of ${desired}`, [
          service,
        ]);
    }
  }

  #healthy(release: string): number {
    let count = 0;
    for (const row of this.#world.store.now.jobs.values()) {
      if (row.releaseId !== release || !row.ready || row.hostId === null) continue;
      const host = this.#world.hosts.find(({ id }) => id === row.hostId);
      if (host === undefined || host.endpoint.inCut || host.endpoint.outCut) continue;
      for (const one of host.engine.containers.values())
        if (one.jobId === row.id && one.state === "running") count += 1;
    }
    return count;
  }

  #onlyOneHostIsAway(): boolean {
    const { hosts, schedulers, store, weather } = this.#world;
    const rough = Object.entries(weather).some(([name, value]) => name !== "lateMs" && value > 0);
    // A record that came back older waits for what it forgot: no promise of this kind holds.
    if (rough || store.down || this.#world.invariants.restored) return false;
    if (schedulers.some(({ process, endpoint }) => !process.runs || endpoint.inCut || endpoint.outCut))
      return false;
    if (hosts.some(({ engine, ledger, process }) => engine.hangs || ledger.full || process.paused))
      return false;
    return (
      hosts.filter(
        ({ powered, process, endpoint }) => !powered || !process.up || endpoint.inCut || endpoint.outCut,
      ).length <= 1
    );
  }
}
