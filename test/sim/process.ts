/**
 * A process of the simulation: it can crash (everything in memory is lost), be paused (everything waits and then
 * happens at once) and run coroutines. A coroutine is a generator: it yields a wait and is resumed by the timeline.
 */
import type { Timeline } from "./timeline.ts";

/** What a waiting coroutine can be woken by before its time is over. */
export class Wakeable {
  wake: () => void = () => {};
}

export type Wait = number | { readonly ms: number; readonly on: Wakeable };
export type Routine<T = void> = Generator<Wait, T, "woken" | "over">;

export class Process {
  readonly name: string;
  readonly #timeline: Timeline;
  up = false;
  paused = false;
  incarnation = 0;
  #backlog: (() => void)[] = [];

  constructor(name: string, timeline: Timeline) {
    this.name = name;
    this.#timeline = timeline;
  }

  get runs(): boolean {
    return this.up && !this.paused;
  }

  start(): void {
    this.up = true;
    this.paused = false;
    this.incarnation += 1;
    this.#backlog = [];
  }

  crash(): void {
    this.up = false;
    this.paused = false;
    this.incarnation += 1;
    this.#backlog = [];
  }

  pause(): void {
    if (this.up) this.paused = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    const waiting = this.#backlog;
    this.#backlog = [];
    for (const run of waiting) this.after(0, run);
  }

  /** Runs later in this incarnation; while paused it waits for the resume. */
  after(ms: number, run: () => void): void {
    const { incarnation } = this;
    this.#timeline.after(ms, () => {
      if (incarnation !== this.incarnation) return;
      if (this.paused) this.#backlog.push(run);
      else run();
    });
  }

  every(ms: number, run: () => void): void {
    this.after(ms, () => {
      run();
      this.every(ms, run);
    });
  }

  spawn<T>(routine: Routine<T>, done: (value: T) => void = () => {}): void {
    const go = (how: "woken" | "over"): void => {
      const { value, done: over } = routine.next(how);
      if (over) return done(value);
      if (typeof value === "number") return this.after(value, () => go("over"));
      let waits = true;
      const resume = (by: "woken" | "over") => () => {
        if (!waits) return;
        waits = false;
        value.on.wake = () => {};
        go(by);
      };
      value.on.wake = () => this.after(0, resume("woken"));
      this.after(value.ms, resume("over"));
    };
    go("over");
  }
}
