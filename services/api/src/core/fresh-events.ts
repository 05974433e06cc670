/**
 * Which events of a repeated reading are new. A transaction that commits late brings events that are older than what
 * was read already, so each reading goes back by a window and what was told is remembered for as long.
 */
export const EVENT_WINDOW_MS = 20_000;

export class FreshEvents<E extends { readonly id: string; readonly atMs: number }> {
  readonly #told = new Map<string, number>();
  #newestMs: number;

  constructor(sinceMs: number) {
    this.#newestMs = sinceMs;
  }

  /** From when on the next reading must go. */
  get fromMs(): number {
    return this.#newestMs - EVENT_WINDOW_MS;
  }

  /** Marks what was there before anybody watched. */
  skip(events: readonly E[]): void {
    this.take(events);
  }

  /** @returns those not seen before, oldest first */
  take(events: readonly E[]): E[] {
    const fresh = events.filter(({ id }) => !this.#told.has(id));
    for (const { id, atMs } of fresh) {
      this.#told.set(id, atMs);
      this.#newestMs = Math.max(this.#newestMs, atMs);
    }
    // Twice the window: nothing that a reading still returns is forgotten.
    for (const [id, atMs] of this.#told)
      if (atMs < this.#newestMs - 2 * EVENT_WINDOW_MS) this.#told.delete(id);
    return fresh.toSorted((a, b) => a.atMs - b.atMs);
  }
}
