/**
 * Whether a cron's newest instant wants a run. Only the newest one counts: after an outage there is one catch-up, however
 * many instants passed.
 */
export interface CronState {
  readonly overlap: "forbid" | "allow";
  /** Since when it has this schedule. */
  readonly sinceMs: number;
  /** The newest instant that has a run, or was skipped; null before the first. */
  readonly handledMs: number | null;
  /** A run of it is not over. */
  readonly isRunning: boolean;
}

export type CronDecision =
  | { readonly kind: "nothing" }
  | { readonly kind: "run"; readonly instantMs: number }
  | { readonly kind: "skip"; readonly instantMs: number; readonly reason: string };

/** @param latestMs the schedule's newest instant before now */
export function planCron(cron: CronState, latestMs: number | null): CronDecision {
  if (latestMs === null || latestMs <= Math.max(cron.sinceMs, cron.handledMs ?? 0))
    return { kind: "nothing" };
  if (cron.isRunning && cron.overlap === "forbid")
    return { kind: "skip", instantMs: latestMs, reason: "the run before it was not over" };
  return { kind: "run", instantMs: latestMs };
}
