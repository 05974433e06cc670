/** What one simulated scheduler does with heartbeats, as its `HeartbeatBook` does: they gather, are stored, then answered. */
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { HostReport } from "../../services/scheduler/src/core/desired-set.ts";
import type { Beat } from "./messages.ts";
import type { Routine } from "./process.ts";
import * as transactions from "./transactions.ts";
import type { World } from "./world.ts";

const GATHER_MS = 50;

type Transaction = <T>(work: () => T) => Routine<T>;

export class HeardBeats {
  readonly #world: World;
  /** Came and are not stored yet: the newest of each host. */
  readonly #gathering = new Map<HostId, Beat>();
  /** Stored: leases count from them. */
  readonly answered = new Map<HostId, { bootId: string; monotonicMs: number }>();
  readonly reports = new Map<HostId, HostReport>();

  constructor(world: World) {
    this.#world = world;
  }

  /** @returns whether something changed */
  *store(beat: Beat, record: Transaction): Routine<boolean> {
    const { hostId, bootId, monotonicMs } = beat;
    this.#gathering.set(hostId, beat);
    yield this.#world.rng.between(0, GATHER_MS);
    // Overtaken by a newer one of its host: not stored.
    if (this.#gathering.get(hostId) !== beat) return false;
    this.#gathering.delete(hostId);
    yield* record(() => transactions.storeBeat(this.#world, beat));
    const known = this.answered.get(hostId);
    if (known?.bootId !== bootId || monotonicMs > known.monotonicMs)
      this.answered.set(hostId, { bootId, monotonicMs });
    return beat.whole ? yield* this.#takeList(beat, record) : false;
  }

  *#takeList(beat: Beat, record: Transaction): Routine<boolean> {
    const world = this.#world;
    const nowMs = world.timeline.nowMs;
    // A list may come late: what it does not name counts from when it was made.
    const madeAtMs = Math.min(beat.atMs, nowMs);
    const atMs = world.on("late-heartbeat") ? madeAtMs : nowMs;
    if (madeAtMs >= (this.reports.get(beat.hostId)?.atMs ?? 0))
      this.reports.set(beat.hostId, { atMs: madeAtMs, jobs: [...beat.jobs, ...beat.unknown] });
    return yield* record(() => transactions.takeList({ world, beat, atMs }));
  }
}
