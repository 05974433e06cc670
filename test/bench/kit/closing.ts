/** What a benchmark made and has to remove, whatever ends it. */
export class Closing {
  readonly #left: (() => Promise<void>)[] = [];
  readonly #say: (line: string) => void;
  #closed = Promise.resolve();

  /** An interrupt or a request to end removes all, and ends the process when that is done. */
  constructor(say: (line: string) => void, interrupted: () => void = () => {}) {
    this.#say = say;
    for (const signal of ["SIGINT", "SIGTERM"] as const)
      process.once(signal, () => {
        say(`${signal}: removing what was made`);
        interrupted();
        void this.closeAll().finally(() => process.exit(1));
      });
  }

  push(close: () => Promise<void>): void {
    this.#left.push(close);
  }

  /** Last made, first removed. What is being removed already is waited for. */
  closeAll(): Promise<void> {
    this.#closed = this.#closed.then(async () => {
      for (const close of this.#left.splice(0).reverse())
        await close().catch((error: unknown) => this.#say(`cleaning up: ${String(error)}`));
    });
    return this.#closed;
  }
}
