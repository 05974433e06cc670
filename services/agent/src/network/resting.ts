/**
 * Environments whose tunnels nobody on this host uses (core/host-rest.ts). Such a tunnel stands and says nothing by itself:
 * no word to keep the way open, no probes; it carries the first packet that comes, and others' probes are answered.
 */
export class Resting {
  #ids: ReadonlySet<string> | null = null;

  /** Null until it was told: an agent that has just started leaves tunnels as they are. */
  get ids(): ReadonlySet<string> | null {
    return this.#ids;
  }

  has(environmentId: string): boolean {
    return this.#ids?.has(environmentId) === true;
  }

  /** @returns whether they are others than before */
  take(ids: ReadonlySet<string>): boolean {
    const before = this.#ids;
    this.#ids = ids;
    return before === null || before.size !== ids.size || [...ids].some((id) => !before.has(id));
  }
}
