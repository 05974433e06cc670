/**
 * The requests that wait for one host name.
 *
 * What must stay true: a gate lives only while somebody waits at it: who comes later asks the agent anew, because the
 * service may have fallen asleep again. One connection at a time tries whether an instance listens; when it does, the
 * others follow, a few at once, so that no queue of an app is overrun. One that thaws takes connections before it runs:
 * it gets one request, and the others wait until it runs.
 */
import type { Socket } from "node:net";
import type { AgentLine } from "@berth/shared/contracts/activator.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { retryPauseMs } from "../core/retry-pause.ts";
import { connectInstance, type Instance } from "../outbound/connect-instance.ts";
import type { HeldRequest } from "./held-request.ts";

const CONNECTS_AT_ONCE = 64;

export interface GateTimes {
  readonly heldAtMs: number;
  readonly givenAtMs: number;
}

export class Gate {
  readonly #longestHoldMs: number;
  readonly #empty: () => void;
  /** Told when the first request is given away: wall clock times of the wake, as this side sees them. */
  readonly #opened: (times: GateTimes) => void;
  readonly #heldAtMs = Date.now();
  #isTold = false;
  readonly #waiting = new Set<HeldRequest>();
  #instances: readonly Instance[] = [];
  #next = 0;
  #isOpen = false;
  /** Most requests that may be given away before the agent says more; null: all. */
  #left: number | null = null;
  #running = 0;

  constructor(longestHoldMs: number, empty: () => void, opened: (times: GateTimes) => void) {
    this.#longestHoldMs = longestHoldMs;
    this.#empty = empty;
    this.#opened = opened;
  }

  get size(): number {
    return this.#waiting.size;
  }

  hold(request: HeldRequest): void {
    this.#waiting.add(request);
    const timer = setTimeout(() => {
      request.refuse("busy");
      this.#leave(request);
    }, this.#longestHoldMs);
    void request.gone.then(() => {
      clearTimeout(timer);
      this.#leave(request);
    });
    this.#serve();
  }

  /** What the agent says of the host name, now. */
  tell({ state, instances }: AgentLine): void {
    this.#instances = state === "open" || state === "thawing" ? instances : [];
    this.#isOpen = false;
    this.#left = state === "thawing" ? 1 : null;
    if (state === "unknown") for (const request of this.#waiting) this.#refuse(request);
    this.#serve();
  }

  #refuse(request: HeldRequest): void {
    request.refuse("unknown");
    this.#leave(request);
  }

  #leave(request: HeldRequest): void {
    if (this.#waiting.delete(request) && this.#waiting.size === 0) this.#empty();
  }

  #serve(): void {
    const most = Math.min(this.#isOpen ? CONNECTS_AT_ONCE : 1, this.#left ?? CONNECTS_AT_ONCE);
    while (this.#instances.length > 0 && this.#running < Math.min(most, this.#waiting.size)) {
      this.#running += 1;
      void this.#connectOne();
    }
  }

  async #connectOne(): Promise<void> {
    const socket = await this.#untilConnected();
    this.#running -= 1;
    if (socket !== null) this.#give(socket);
    this.#serve();
  }

  /** @returns null when there is nobody, or nowhere to connect to, any more */
  async #untilConnected(): Promise<Socket | null> {
    for (let tries = 0; this.#waiting.size > 0 && this.#instances.length > 0; tries++) {
      const instance = this.#instances[this.#next++ % this.#instances.length] as Instance;
      const socket = await connectInstance(instance);
      if (socket !== null) return socket;
      await sleep(retryPauseMs(tries));
    }
    return null;
  }

  #give(socket: Socket): void {
    this.#isOpen = this.#instances.length > 0;
    for (const request of this.#waiting) {
      const isThere = !request.over;
      if (isThere) request.handTo(socket);
      if (isThere) this.#noteGiven();
      this.#leave(request);
      if (isThere) return;
    }
    socket.destroy();
  }

  #noteGiven(): void {
    if (this.#left !== null) this.#left -= 1;
    if (this.#isTold) return;
    this.#isTold = true;
    this.#opened({ heldAtMs: this.#heldAtMs, givenAtMs: Date.now() });
  }
}
