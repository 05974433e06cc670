/**
 * Writes hosts' answers down as they come: while one statement runs the next answers gather, and go in one more.
 */
import type { Kysely } from "kysely";
import { type Answered, storeAnswers } from "./auction-record.ts";
import type { Tables } from "./tables.ts";

/** Rows of one statement. */
const MOST_AT_ONCE = 500;

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
      let failure: unknown;
      await storeAnswers(
        this.#db,
        group.flatMap(({ answers }) => answers),
      ).catch((error: unknown) => {
        failure = error ?? new Error("unknown");
      });
      for (const { done } of group) done(failure);
    }
    this.#writing = false;
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
