/**
 * Leadership by lease: who may take it, and who may commit under it.
 *
 * What must stay true: the epoch grows with every change of holder, and a commit counts only while its holder and
 * epoch are the stored ones and the lease runs by the record's own clock.
 */
export interface LeaderRow {
  readonly holder: string;
  readonly epoch: number;
  /** True when the lease is over by the record's clock. */
  readonly expired: boolean;
}

/** @returns the epoch under which `holder` leads from now on, or null while another one leads */
export function contend(row: LeaderRow | null, holder: string): number | null {
  if (row === null) return 1;
  if (row.holder === holder) return row.epoch;
  return row.expired ? row.epoch + 1 : null;
}

/** True when `holder` may commit what it decided under `epoch`. */
export function mayCommit(row: LeaderRow | null, holder: string, epoch: number | null): boolean {
  return row !== null && row.holder === holder && row.epoch === epoch && !row.expired;
}
