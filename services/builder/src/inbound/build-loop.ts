/**
 * The builder's one loop: looks at the queue and keeps up to `concurrency` builds running.
 *
 * It takes no input. Messages wake it, the tables steer it, a period heals: a lost message costs seconds.
 */
import type { Log } from "@berth/shared/kit/log.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import {
  addMissedImages,
  addMissedPushes,
  applyCancels,
  type ClaimedBuild,
  claimNext,
  reclaimAbandoned,
} from "../outbound/queue-store.ts";
import type { Db } from "../outbound/tables.ts";

export interface BuildLoopGiven {
  readonly db: Db;
  readonly log: Log;
  readonly builderId: string;
  readonly concurrency: number;
  readonly leaseMs: number;
  readonly pollMs: number;
  /** Runs a claimed build to its stored end; never rejects. `stop` fires on shutdown. */
  readonly execute: (build: ClaimedBuild, shutdown: AbortSignal) => Promise<void>;
  /** Called when the queue may have changed for others, for example an outbox relay. */
  readonly onChange: () => void;
}

export class BuildLoop {
  readonly #given: BuildLoopGiven;
  readonly #running = new Set<Promise<void>>();
  readonly #shutdown = new AbortController();
  readonly #reconciler: Reconciler;
  #started = false;

  constructor(given: BuildLoopGiven) {
    this.#given = given;
    this.#reconciler = new Reconciler({
      name: "builds",
      everyMs: given.pollMs,
      log: given.log,
      run: () => this.#look(),
    });
  }

  get wake(): () => void {
    return this.#reconciler.wake;
  }

  async #look(): Promise<void> {
    const { db, builderId, concurrency, leaseMs, log } = this.#given;
    // What this builder held in an earlier life is nobody's now; it need not wait for the lease.
    const reclaimed = await reclaimAbandoned(db, this.#started ? null : builderId);
    this.#started = true;
    if (reclaimed > 0) log.warn("builds.reclaimed", { count: reclaimed });
    await addMissedPushes(db);
    await addMissedImages(db);
    await applyCancels(db);
    while (this.#running.size < concurrency && !this.#shutdown.signal.aborted) {
      const build = await claimNext(db, builderId, leaseMs);
      if (build === null) break;
      const work = this.#given.execute(build, this.#shutdown.signal).finally(() => {
        this.#running.delete(work);
        this.wake();
      });
      this.#running.add(work);
    }
    this.#given.onChange();
  }

  /** Stops taking builds, gives the running ones back to the queue, and waits for them. */
  async close(): Promise<void> {
    this.#shutdown.abort(new Error("the builder is shutting down"));
    await this.#reconciler.close();
    await Promise.allSettled(this.#running);
  }
}
