/** How long a crashed job waits before it is started again: 0.1 s, 0.5 s, 2 s, … 60 s. */

const STEPS_MS = [100, 500, 2000, 5000, 10_000, 30_000, 60_000] as const;

/** A job that ran this long is well again: its next crash counts as the first. */
export const RESET_AFTER_MS = 10 * 60_000;

/** @param crashesInRow 1 for the first crash */
export function backOffMs(crashesInRow: number): number {
  const index = Math.min(Math.max(crashesInRow, 1), STEPS_MS.length) - 1;
  return STEPS_MS[index] ?? 60_000;
}
