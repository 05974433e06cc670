/**
 * Which of the hosts' lists are worth judging: a host with a thousand sleepers repeats its list every 2 s.
 *
 * What must stay true: a list that is new is judged; a repeated one while anything is being placed, until the record has
 * been calm for longer than any grace of a judgement lasts, and then once a minute. Pure.
 */
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { HostList } from "./judge-lists.ts";

/** Of all jobs of the record. */
export interface RecordCalm {
  /** The newest change; null: there was none yet. */
  readonly newest: string | null;
  /** Some wait for a host, or for its answer. */
  readonly isPlacing: boolean;
}

/** Longer than the graces of judge-absence.ts, and than a change takes to its commit. */
export const CALM_AFTER_MS = 15_000;
export const JUDGE_EVERY_MS = 60_000;

export class JudgedLists {
  /** When each host's list was judged last. */
  readonly #judgedAtMs = new Map<HostId, number>();
  #newest: string | null = null;
  #sinceMs = Number.NEGATIVE_INFINITY;

  /** @param nowMs of a clock that never goes back */
  due(lists: readonly HostList[], { newest, isPlacing }: RecordCalm, nowMs: number): readonly HostList[] {
    if (isPlacing || newest !== this.#newest || this.#sinceMs === Number.NEGATIVE_INFINITY) {
      this.#newest = newest;
      this.#sinceMs = nowMs;
    }
    const isCalm = nowMs - this.#sinceMs >= CALM_AFTER_MS;
    const due = lists.filter(({ hostId, isRepeat = false }) => {
      const judgedMs = nowMs - (this.#judgedAtMs.get(hostId) ?? Number.NEGATIVE_INFINITY);
      return !isRepeat || !isCalm || judgedMs >= JUDGE_EVERY_MS;
    });
    for (const { hostId } of due) this.#judgedAtMs.set(hostId, nowMs);
    return due;
  }

  /** They were not judged after all. */
  forget(lists: readonly HostList[]): void {
    for (const { hostId } of lists) this.#judgedAtMs.delete(hostId);
  }
}
