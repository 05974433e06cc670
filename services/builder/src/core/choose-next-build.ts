/**
 * Which waiting build runs next.
 *
 * Fair by org: the org with the fewest running builds goes first, and among equals the build that has waited
 * longest. One org that pushes a hundred times delays another org's push by at most one running build.
 */
export interface WaitingBuild {
  readonly id: string;
  readonly orgId: string;
  readonly serviceId: string;
  /** Milliseconds since the epoch. */
  readonly queuedAtMs: number;
}

export interface RunningBuild {
  readonly orgId: string;
  readonly serviceId: string;
}

/** @returns null when nothing may start: nothing waits, or each waiting service already has a build running. */
export function chooseNextBuild(
  waiting: readonly WaitingBuild[],
  running: readonly RunningBuild[],
): WaitingBuild | null {
  const runningByOrg = new Map<string, number>();
  for (const build of running) runningByOrg.set(build.orgId, (runningByOrg.get(build.orgId) ?? 0) + 1);
  // Builds of one service share a cache and would race to the registry: one at a time.
  const busy = new Set(running.map((build) => build.serviceId));
  const load = (build: WaitingBuild): number => runningByOrg.get(build.orgId) ?? 0;
  const [first] = waiting
    .filter((build) => !busy.has(build.serviceId))
    .toSorted((a, b) => load(a) - load(b) || a.queuedAtMs - b.queuedAtMs || compareText(a.id, b.id));
  return first ?? null;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
