/**
 * Writes hosts' answers down as they come: at once when none was written just now; else the next ones gather for a moment,
 * because a statement costs much the same for one as for twenty.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Kysely } from "kysely";
import { type Answered, storeAnswers } from "./auction-record.ts";
import type { Tables } from "./tables.ts";

/** Rows of one statement. */
const MOST_AT_ONCE = 500;
/** From the beginning of one statement to that of the next, unless there are enough for a full one. */
const APART_MS = 10;

interface Waiting {
  readonly answers: readonly Answered[];
  readonly done: (error?: unknown) => void;
}

export class AnswerBook {
  readonly #db: Kysely<Tables>;
  #waiting: Waiting[] = [];
  #writing = false;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  /** Resolves when the answers are stored. @throws what PostgreSQL said: the awards are asked for again later */
  write(answers: readonly Answered[]): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ answers, done: (error) => (error === undefined ? resolve() : reject(error)) });
    if (!this.#writing) void this.#drain();
    return promise;
  }

  async #drain(): Promise<void> {
    this.#writing = true;
    while (this.#waiting.length > 0) {
      const group = this.#nextGroup();
      const startedAtMs = performance.now();
      let failure: unknown;
      await storeAnswers(
        this.#db,
        group.flatMap(({ answers }) => answers),
      ).catch((error: unknown) => {
        failure = error ?? new Error("unknown");
      });
      for (const { done } of group) done(failure);
      const restMs = APART_MS - (performance.now() - startedAtMs);
      if (restMs > 0 && this.#waitingRows() < MOST_AT_ONCE) await delay(restMs);
    }
    this.#writing = false;
  }

  #waitingRows(): number {
    return this.#waiting.reduce((rows, { answers }) => rows + answers.length, 0);
  }

  #nextGroup(): Waiting[] {
    let rows = 0;
    const end = this.#waiting.findIndex(({ answers }, at) => {
      rows += answers.length;
      return at > 0 && rows > MOST_AT_ONCE;
    });
    const group = end < 0 ? this.#waiting : this.#waiting.slice(0, end);
    this.#waiting = end < 0 ? [] : this.#waiting.slice(end);
    return group;
  }
}
