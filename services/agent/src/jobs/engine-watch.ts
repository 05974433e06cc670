/**
 * Notices an agent that sees nothing any more: no list of containers ended well for a minute, or the process itself
 * stood still. It says so, in the bid and to the operator, and opens new connections; it never ends the process.
 */
import type { Clock } from "@berth/shared/kit/clock.ts";
import type { Log } from "@berth/shared/kit/log.ts";

const STUCK_AFTER_MS = 60_000;
const CHECK_MS = 1000;
const STOOD_STILL_MS = 5000;

export interface EngineWatchGiven {
  readonly clock: Clock;
  readonly log: Log;
  readonly reconnect: () => void;
  readonly stuckAfterMs?: number;
}

export class EngineWatch {
  readonly #given: EngineWatchGiven;
  readonly #stuckAfterMs: number;
  #lookedAtMs: number;
  #toldAtMs: number | null = null;
  #checkedAtMs: number;
  readonly #timer: NodeJS.Timeout;

  constructor(given: EngineWatchGiven) {
    this.#given = given;
    this.#stuckAfterMs = given.stuckAfterMs ?? STUCK_AFTER_MS;
    this.#lookedAtMs = given.clock.monotonicMs();
    this.#checkedAtMs = this.#lookedAtMs;
    this.#timer = setInterval(() => this.check(), CHECK_MS);
    this.#timer.unref();
  }

  /** A list of all containers ended well. */
  noteLook(): void {
    this.#lookedAtMs = this.#given.clock.monotonicMs();
    if (this.#toldAtMs === null) return;
    this.#toldAtMs = null;
    this.#given.log.info("engine.looks-again");
  }

  readonly isStuck = (): boolean => this.#sinceLookMs() >= this.#stuckAfterMs;

  #sinceLookMs(): number {
    return this.#given.clock.monotonicMs() - this.#lookedAtMs;
  }

  check(): void {
    const { clock, log, reconnect } = this.#given;
    const nowMs = clock.monotonicMs();
    const stoodStillMs = nowMs - this.#checkedAtMs - CHECK_MS;
    this.#checkedAtMs = nowMs;
    if (stoodStillMs >= STOOD_STILL_MS) {
      log.error("agent.stood-still", { forMs: Math.round(stoodStillMs) });
      // Time in which nothing could be asked says nothing about the engine.
      this.#lookedAtMs += stoodStillMs;
    }
    if (!this.isStuck()) return;
    if (this.#toldAtMs !== null && nowMs - this.#toldAtMs < this.#stuckAfterMs) return;
    this.#toldAtMs = nowMs;
    log.error("engine.look-stuck", { sinceMs: Math.round(this.#sinceLookMs()) });
    reconnect();
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
