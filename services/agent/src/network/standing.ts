/** Environments whose bridge stands as it should, as far as is known, and those who wait for one. */
export class Standing {
  #all: ReadonlySet<string> = new Set();
  readonly #waiting = new Map<(environmentId: string) => void, string>();

  get all(): ReadonlySet<string> {
    return this.#all;
  }

  /** Whether somebody waits for the bridge of an environment that is none of these. */
  isAwaitedBeside(environmentIds: ReadonlySet<string>): boolean {
    return [...this.#waiting.values()].some((id) => !environmentIds.has(id));
  }

  has(environmentId: string): boolean {
    return this.#all.has(environmentId);
  }

  add(environmentId: string): void {
    this.#all = new Set([...this.#all, environmentId]);
    for (const told of this.#waiting.keys()) told(environmentId);
  }

  /** All that was seen, and no other. */
  replace(all: ReadonlySet<string>): void {
    this.#all = all;
  }

  /** @returns when the bridge was made, or when `end` did; rejects as `end` does */
  async until(environmentId: string, end: Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const told = (id: string) => {
      if (id === environmentId) resolve();
    };
    this.#waiting.set(told, environmentId);
    try {
      await Promise.race([promise, end]);
    } finally {
      this.#waiting.delete(told);
    }
  }
}
