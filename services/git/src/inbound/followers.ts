/** Who waits for which deploy. Events wake; the stored state decides. */
import type { DeployId } from "@berth/shared/domain/ids.ts";

export class Followers {
  readonly #wakes = new Map<DeployId, Set<() => void>>();
  readonly #stop = new AbortController();

  /** Aborts when this process ends. */
  get stopping(): AbortSignal {
    return this.#stop.signal;
  }

  /** @returns what ends the waiting */
  add(deployId: DeployId, wake: () => void): () => void {
    const wakes = this.#wakes.get(deployId) ?? new Set();
    wakes.add(wake);
    this.#wakes.set(deployId, wakes);
    return () => {
      wakes.delete(wake);
      if (wakes.size === 0) this.#wakes.delete(deployId);
    };
  }

  wake(deployId: DeployId): void {
    for (const wake of this.#wakes.get(deployId) ?? []) wake();
  }

  close(): void {
    this.#stop.abort();
  }
}
