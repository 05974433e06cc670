/** Since when environments have not been needed. */
import type { HeldNetwork } from "./core/network-state.ts";

export class UnusedSince {
  readonly #sinceMs = new Map<string, number>();

  noteNeeded(environmentId: string): void {
    this.#sinceMs.delete(environmentId);
  }

  has(environmentId: string): boolean {
    return this.#sinceMs.has(environmentId);
  }

  /** @returns those that were not needed for so long; one is first seen here */
  due(
    all: Iterable<HeldNetwork>,
    needed: ReadonlySet<string>,
    nowMs: number,
    afterMs: number,
  ): HeldNetwork[] {
    return [...all].filter(({ environmentId, state }) => {
      if (needed.has(environmentId) || state === "leaving") {
        this.#sinceMs.delete(environmentId);
        return false;
      }
      const sinceMs = this.#sinceMs.get(environmentId) ?? nowMs;
      this.#sinceMs.set(environmentId, sinceMs);
      return nowMs - sinceMs >= afterMs;
    });
  }
}
