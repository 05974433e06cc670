/** Runs of the same work, one after the other: callers at the same time share one, which begins after they called. */
export class SharedRuns {
  readonly #run: (mayGiveWay: boolean) => Promise<boolean>;
  #running: Promise<unknown> = Promise.resolve();
  #next: Promise<void> | null = null;
  #gaveWay = false;

  /** @param run false: it gave way, and what is left is for the next run, which may not: all gets its turn */
  constructor(run: (mayGiveWay: boolean) => Promise<boolean>) {
    this.#run = run;
  }

  /** @returns when all that was to be done by now is done; rejects as its run does */
  start(): Promise<void> {
    this.#next ??= this.#running.then(async () => {
      this.#next = null;
      const run = this.#run(!this.#gaveWay);
      this.#gaveWay = false;
      this.#running = run.catch(() => {});
      if (await run) return;
      this.#gaveWay = true;
      await this.start();
    });
    return this.#next;
  }
}
