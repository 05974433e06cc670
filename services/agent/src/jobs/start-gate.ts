/**
 * Lets through as many creates and starts at once as the engine is good for, in the order of their places.
 *
 * What must stay true: one that hangs gives its slot back after a while, so the others start; its caller goes on
 * waiting for it, up to the call's own deadline.
 */
import type { Clock } from "@berth/shared/kit/clock.ts";
import { adaptStarts, newPace, type StartPace } from "../core/adapt-starts.ts";

const HOLDS_SLOT_MS = 8000;

interface Waiting {
  readonly place: number;
  readonly enter: () => void;
}

export class StartGate {
  readonly #clock: Clock;
  readonly #holdsSlotMs: number;
  #pace: StartPace;
  #inFlight = 0;
  /** For each under way the most at once that it saw. */
  readonly #peaks = new Set<{ count: number }>();
  readonly #waiting: Waiting[] = [];

  constructor(clock: Clock, mostCount: number, holdsSlotMs = HOLDS_SLOT_MS) {
    this.#clock = clock;
    this.#pace = newPace(mostCount);
    this.#holdsSlotMs = holdsSlotMs;
  }

  get limit(): number {
    return Math.floor(this.#pace.limit);
  }

  /** @param place lower goes first among those that wait */
  async run<T>(kind: "create" | "start", place: number, work: () => Promise<T>): Promise<T> {
    await this.#enter(place);
    const peak = { count: this.#inFlight };
    this.#peaks.add(peak);
    for (const other of this.#peaks) other.count = Math.max(other.count, this.#inFlight);
    const beganMs = this.#clock.monotonicMs();
    let isIn = true;
    const leave = (failed: boolean) => {
      if (!isIn) return;
      isIn = false;
      this.#peaks.delete(peak);
      const tookMs = this.#clock.monotonicMs() - beganMs;
      const counts = kind === "start" || failed;
      if (counts) this.#pace = adaptStarts(this.#pace, { tookMs, inFlightCount: peak.count, failed });
      this.#inFlight -= 1;
      this.#letIn();
    };
    const late = setTimeout(() => leave(true), this.#holdsSlotMs);
    try {
      return await work();
    } finally {
      clearTimeout(late);
      leave(false);
    }
  }

  #enter(place: number): Promise<void> {
    return new Promise((enter) => {
      const before = this.#waiting.findIndex((other) => other.place > place);
      this.#waiting.splice(before < 0 ? this.#waiting.length : before, 0, { place, enter });
      this.#letIn();
    });
  }

  #letIn(): void {
    while (this.#inFlight < this.limit) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#inFlight += 1;
      next.enter();
    }
  }
}
