/**
 * How long a table that is told whole rests before it is told again only because it grew.
 *
 * A telling costs in proportion to the table's size, so n entries that come one after another would cost n². With a rest
 * in proportion to the size they cost n. What goes away, or comes first, is told at once.
 */
const PER_ENTRY_MS = 50;
const MOST_MS = 1000;

/**
 * @param entriesCount of the table as it was told last
 * @param ageMs since it was told; below 0 a clock was set back, and says nothing
 * @returns how much longer it rests; 0: it is told now
 */
export function growthRestMs(entriesCount: number, ageMs: number): number {
  if (ageMs < 0) return 0;
  return Math.max(0, Math.min(MOST_MS, entriesCount * PER_ENTRY_MS) - ageMs);
}

export interface Deferred<Table> {
  readonly now: readonly Table[];
  readonly waiting: readonly Table[];
  /** When to look again; null: nothing waits. */
  readonly againInMs: number | null;
}

/** @param waitMs how much longer a changed table rests; 0: not at all */
export function deferred<Table>(
  changed: readonly Table[],
  waitMs: (table: Table) => number,
): Deferred<Table> {
  const waits = changed.map(waitMs);
  const rests = waits.filter((ms) => ms > 0);
  return {
    now: changed.filter((_table, at) => waits[at] === 0),
    waiting: changed.filter((_table, at) => waits[at] !== 0),
    againInMs: rests.length === 0 ? null : Math.min(...rests),
  };
}
