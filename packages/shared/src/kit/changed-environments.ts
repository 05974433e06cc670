/**
 * Environments whose tables may differ from the stored ones.
 *
 * What must stay true: after an act of anybody that may be about them, an event about a service or an error all are made
 * anew, and so they are every `wholeEveryMs`, whatever was missed. Else those that the record names, and those that wait for
 * more.
 */
/** A change that takes longer from its statement to its commit is seen when all are made anew. */
const MOST_COMMIT_MS = 5000;

/** Acts that change no table themselves: jobs come and go for them, and those the record names. */
export const ACTS_ON_JOBS: readonly string[] = [
  ...["service.scaled", "service.restarted", "service.redeployed", "service.rolled-back", "image.deployed"],
  ...["vars.changed", "deploy.cancelled", "release.removed", "release.noted", "rebalance.requested"],
  ...["cron.run", "command.run", "task.cancelled", "registry.token-minted", "join-token.created"],
];

/** What the record says when it is asked for changes. */
export interface RecordChanges {
  /** By the record's clock. */
  readonly atMs: number;
  /** Of the newest act of anybody but `ACTS_ON_JOBS`. */
  readonly acts: string | null;
  readonly environments: readonly string[];
}

export interface ChangesGiven {
  /** Changes since then, by the record's clock. */
  readonly read: (since: Date) => Promise<RecordChanges>;
  readonly wholeEveryMs: number;
}

export class ChangedEnvironments {
  readonly #given: ChangesGiven;
  #mark: Omit<RecordChanges, "environments"> | null = null;
  #wholeAtMs = Number.NEGATIVE_INFINITY;
  #waiting: readonly string[] = [];
  #added = new Set<string>();

  constructor(given: ChangesGiven) {
    this.#given = given;
  }

  /** All are made anew the next time. */
  readonly all = (): void => {
    this.#mark = null;
  };

  /** Their tables are not told yet. */
  note(waiting: readonly string[]): void {
    this.#waiting = waiting;
  }

  /** What their tables are made from changed otherwise. */
  add(environmentIds: readonly string[]): void {
    for (const id of environmentIds) this.#added.add(id);
  }

  /** To be asked before the record is read. @returns null: all */
  async next(): Promise<readonly string[] | null> {
    const nowMs = performance.now();
    const before = this.#mark;
    const added = [...this.#added];
    this.#added = new Set();
    const since = new Date((before?.atMs ?? Date.now()) - MOST_COMMIT_MS);
    const { environments, ...mark } = await this.#given.read(since);
    const isKept = before !== null && this.#mark === before && before.acts === mark.acts;
    this.#mark = mark;
    if (isKept && nowMs - this.#wholeAtMs < this.#given.wholeEveryMs)
      return [...new Set([...environments, ...this.#waiting, ...added])];
    this.#wholeAtMs = nowMs;
    return null;
  }
}
