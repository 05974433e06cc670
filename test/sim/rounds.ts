/** A loop of a simulated process: one round at a time; wakes during a round lead to exactly one more. */
import type { Process, Routine } from "./process.ts";

export class Rounds {
  readonly #process: Process;
  readonly #round: () => Routine;
  #running = false;
  #again = false;

  constructor(process: Process, round: () => Routine) {
    this.#process = process;
    this.#round = round;
  }

  /** The process starts anew: what ran is gone. */
  reset(): void {
    this.#running = false;
    this.#again = false;
  }

  readonly wake = (): void => {
    if (!this.#process.up) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    this.#again = false;
    this.#process.spawn(this.#round(), () => {
      this.#running = false;
      if (this.#again) this.wake();
    });
  };
}
