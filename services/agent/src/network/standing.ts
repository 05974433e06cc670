/** Environments whose bridge stands as it should, as far as is known, and those who wait for one. */
export class Standing {
  #all: ReadonlySet<string> = new Set();
  readonly #waiting = new Set<(environmentId: string) => void>();

  get all(): ReadonlySet<string> {
    return this.#all;
  }

  has(environmentId: string): boolean {
    return this.#all.has(environmentId);
  }

  add(environmentId: string): void {
    this.#all = new Set([...this.#all, environmentId]);
    for (const told of this.#waiting) told(environmentId);
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
    this.#waiting.add(told);
    try {
      await Promise.race([promise, end]);
    } finally {
      this.#waiting.delete(told);
    }
  }
}
