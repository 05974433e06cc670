/**
 * A level-triggered loop. It takes no input: a message may wake it, but only stored state steers it, and a period
 * heals what a lost message left. One run at a time; wakes during a run lead to exactly one more run.
 */

import type { Log } from "./log.ts";
import { describeError } from "./log.ts";

export interface ReconcilerOptions {
  readonly name: string;
  readonly everyMs: number;
  readonly log: Log;
  readonly run: () => Promise<void>;
  /** After an error the next run waits this long, doubling to 16 times. */
  readonly retryMs?: number;
}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #closed = false;
  #failures = 0;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.wake();
  }

  /** Asks for a run soon. Cheap, safe to call at any rate. */
  readonly wake = (): void => {
    if (this.#closed) return;
    if (this.#running !== undefined) {
      this.#again = true;
      return;
    }
    // After a failure only the timer starts the next run: wakes must not turn an outage into a busy loop.
    if (this.#failures > 0) return;
    this.#start();
  };

  #start(): void {
    clearTimeout(this.#timer);
    this.#running = this.#options
      .run()
      .then(
        () => {
          this.#failures = 0;
        },
        (error: unknown) => {
          this.#failures += 1;
          const level = this.#failures < 3 ? "warn" : "error";
          this.#options.log[level]("reconciler.failed", {
            reconciler: this.#options.name,
            failures: this.#failures,
            error: describeError(error),
          });
        },
      )
      .then(() => {
        this.#running = undefined;
        this.#schedule();
      });
  }

  #schedule(): void {
    if (this.#closed) return;
    if (this.#again && this.#failures === 0) {
      this.#again = false;
      this.#start();
      return;
    }
    this.#again = false;
    const base =
      this.#failures === 0
        ? this.#options.everyMs
        : (this.#options.retryMs ?? 200) * 2 ** Math.min(this.#failures - 1, 4);
    this.#timer = setTimeout(() => this.#start(), base * (0.9 + Math.random() * 0.2));
  }

  /** No further run starts; waits for the one under way. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }
}
