/**
 * Environments whose tables may differ from the stored ones.
 *
 * What must stay true: after an act of anybody, an event about a service or an error all are made anew, and so they are
 * every `wholeEveryMs`, whatever was missed. Else those whose jobs or sleeps changed, and those that wait for more.
 */
import { type Kysely, sql } from "kysely";
import type { RouterTables } from "./tables.ts";

/** A change that takes longer from its statement to its commit is seen when all are made anew. */
const MOST_COMMIT_MS = 5000;

interface Mark {
  /** By the record's clock. */
  readonly atMs: number;
  readonly acts: string | null;
}

export class ChangedEnvironments {
  readonly #given: { readonly db: Kysely<RouterTables>; readonly wholeEveryMs: number };
  #mark: Mark | null = null;
  #wholeAtMs = Number.NEGATIVE_INFINITY;
  #waiting: readonly string[] = [];
  #added = new Set<string>();

  constructor(given: { readonly db: Kysely<RouterTables>; readonly wholeEveryMs: number }) {
    this.#given = given;
  }

  /** All are made anew the next time. */
  readonly all = (): void => {
    this.#mark = null;
  };

  /** Their tables are not told yet. */
  note(waiting: readonly string[]): void {
    this.#waiting = waiting;
  }

  /** What their tables are made from changed otherwise. */
  add(environmentIds: readonly string[]): void {
    for (const id of environmentIds) this.#added.add(id);
  }

  /** To be asked before the record is read. @returns null: all */
  async next(): Promise<readonly string[] | null> {
    const nowMs = performance.now();
    const before = this.#mark;
    const added = [...this.#added];
    this.#added = new Set();
    const { environments, ...mark } = await readChanges(this.#given.db, before?.atMs ?? null);
    const isKept = before !== null && this.#mark === before && before.acts === mark.acts;
    this.#mark = mark;
    if (isKept && nowMs - this.#wholeAtMs < this.#given.wholeEveryMs)
      return [...new Set([...environments, ...this.#waiting, ...added])];
    this.#wholeAtMs = nowMs;
    return null;
  }
}

async function readChanges(
  db: Kysely<RouterTables>,
  beforeMs: number | null,
): Promise<Mark & { readonly environments: readonly string[] }> {
  const since = new Date((beforeMs ?? Date.now()) - MOST_COMMIT_MS);
  const { rows } = await sql<Mark & { environments: string[] }>`
    select (extract(epoch from clock_timestamp()) * 1000)::float8 as "atMs", (select max(id)::text from api.audit) as acts,
           array(select environment_id from scheduler.jobs where told_at > ${since}
                 union select s.environment_id from scheduler.sleeps z join api.services s on s.id = z.service_id
                        where z.state_since > ${since}) as environments`.execute(db);
  const [row] = rows;
  if (row === undefined) throw new Error("the record told no time");
  return row;
}
