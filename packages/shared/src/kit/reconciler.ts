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
  /**
   * Rest after a run, as a multiple of its duration, at most 250 ms: under a stream of wakes the loop takes no more
   * than 1 / (1 + this) of a core, and while runs are short nobody waits. Default 0.
   */
  readonly restFactor?: number;
  /**
   * Runs that take long come less often: a period is at least this multiple of the last run's duration, up to `mostEveryMs`.
   * Wakes do not wait for it. Default 0.
   */
  readonly everyFactor?: number;
  /** Default `everyMs`. */
  readonly mostEveryMs?: number;
}

const MOST_REST_MS = 250;

export class Reconciler {
  readonly #options: ReconcilerOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #closed = false;
  #failures = 0;
  #restUntilMs = 0;
  #tookMs = 0;

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
    this.#startRested();
  };

  #startRested(): void {
    const restMs = this.#restUntilMs - performance.now();
    clearTimeout(this.#timer);
    if (restMs <= 0) this.#start();
    else this.#timer = setTimeout(() => this.#start(), restMs);
  }

  #start(): void {
    clearTimeout(this.#timer);
    const startMs = performance.now();
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
        const endMs = performance.now();
        this.#tookMs = endMs - startMs;
        const restMs = this.#tookMs * (this.#options.restFactor ?? 0);
        this.#restUntilMs = endMs + Math.min(MOST_REST_MS, restMs);
        this.#schedule();
      });
  }

  #schedule(): void {
    if (this.#closed) return;
    if (this.#again && this.#failures === 0) {
      this.#again = false;
      this.#startRested();
      return;
    }
    this.#again = false;
    const base =
      this.#failures === 0
        ? this.#periodMs()
        : (this.#options.retryMs ?? 200) * 2 ** Math.min(this.#failures - 1, 4);
    this.#timer = setTimeout(() => this.#start(), base * (0.9 + Math.random() * 0.2));
  }

  #periodMs(): number {
    const { everyMs, everyFactor = 0, mostEveryMs = everyMs } = this.#options;
    return Math.max(everyMs, Math.min(mostEveryMs, this.#tookMs * everyFactor));
  }

  /** No further run starts; waits for the one under way. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }
}
