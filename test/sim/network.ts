/**
 * The bus: loses, delays (and so reorders) and repeats. A cut may be one-way. Who is paused gets everything at once
 * when it is resumed; who is down gets nothing. A repeat never outlives the receiver's connection.
 */
import type { Process } from "./process.ts";
import { type Routine, Wakeable } from "./process.ts";
import type { Rng } from "./rng.ts";
import type { Timeline } from "./timeline.ts";
import type { Weather } from "./world.ts";

export class Endpoint {
  readonly process: Process;
  /** Nothing leaves, nothing comes in: set apart, for one-way partitions. */
  outCut = false;
  inCut = false;

  constructor(process: Process) {
    this.process = process;
  }
}

export class Network {
  readonly #timeline: Timeline;
  readonly #rng: Rng;
  readonly #weather: Weather;

  constructor(timeline: Timeline, rng: Rng, weather: Weather) {
    this.#timeline = timeline;
    this.#rng = rng;
    this.#weather = weather;
  }

  send(from: Endpoint, to: Endpoint, deliver: () => void): void {
    if (from.outCut) return;
    const weather = this.#weather;
    const rng = this.#rng;
    if (weather.loss > 0 && rng.chance(weather.loss)) return;
    const late = weather.late > 0 && rng.chance(weather.late);
    const delayMs = late ? rng.between(50, weather.lateMs) : rng.between(1, 4);
    this.#timeline.after(delayMs, () => this.#arrive(to, deliver));
    if (weather.twice === 0 || !rng.chance(weather.twice)) return;
    const { incarnation } = to.process;
    this.#timeline.after(delayMs + rng.between(1, weather.lateMs), () => {
      if (to.process.incarnation === incarnation) this.#arrive(to, deliver);
    });
  }

  #arrive(to: Endpoint, deliver: () => void): void {
    if (!to.inCut && to.process.up) to.process.after(0, deliver);
  }

  /** Asks and waits. @returns null when no answer came in time */
  *request<T>(
    from: Endpoint,
    to: Endpoint,
    timeoutMs: number,
    serve: (reply: (answer: T) => void) => void,
  ): Routine<T | null> {
    const wakeable = new Wakeable();
    let answer: { readonly value: T } | null = null;
    this.send(from, to, () =>
      serve((value) =>
        this.send(to, from, () => {
          answer ??= { value };
          wakeable.wake();
        }),
      ),
    );
    yield { ms: timeoutMs, on: wakeable };
    return answer === null ? null : (answer as { readonly value: T }).value;
  }
}
