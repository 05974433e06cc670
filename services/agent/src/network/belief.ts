/**
 * What a host is believed to have: what the last look saw, and on top of it what was carried out since that look began.
 *
 * So a look runs beside changes, and no change waits for it: a step says of its subject what is there now, whether the
 * look read before it or after it. What somebody else changed meanwhile is seen by the next look.
 */
import { afterStep } from "./core/after-step.ts";
import type { NetworkStep, ObservedHost } from "./core/plan-network.ts";

/** One look, from its beginning to the moment at which it counts. */
export interface LookUnderWay {
  readonly since: NetworkStep[];
}

export class Belief {
  #host: ObservedHost | null = null;
  #look: LookUnderWay | null = null;

  /** Null before the first look, and since a step failed: nobody knows what it left. */
  get host(): ObservedHost | null {
    return this.#host;
  }

  /** A look begins; one that began before does not count any more. */
  begin(): LookUnderWay {
    this.#look = { since: [] };
    return this.#look;
  }

  /**
   * A look that ended counts from here on.
   * @returns false when it does not: a step failed since it began, or a newer look began
   */
  take(look: LookUnderWay, seen: ObservedHost): boolean {
    if (look !== this.#look) return false;
    this.#host = look.since.reduce(afterStep, seen);
    this.#look = null;
    return true;
  }

  /** @param isWhole false: some other step failed */
  carriedOut(now: ObservedHost, steps: readonly NetworkStep[], isWhole: boolean): void {
    this.#host = isWhole ? now : null;
    if (isWhole) this.#look?.since.push(...steps);
    else this.#look = null;
  }
}
