/**
 * Where a deploy's time went: the stages that every service stored, and the share of the wall time they explain.
 *
 * Stages may overlap (two hosts pull at once), so the share is that of their union. A gap is honest: time that
 * nobody accounted for lowers the share.
 */
import type { Stage } from "@berth/shared/domain/deploy-state.ts";

export interface OwnedStage extends Stage {
  readonly owner: string;
}

export interface Timeline {
  readonly stages: OwnedStage[];
  readonly wallMs: number;
  /** In [0, 1]. */
  readonly coveredShare: number;
}

/** @param startMs,endMs limits of the wall time; stages outside of them are listed but do not count */
export function makeTimeline(stages: readonly OwnedStage[], startMs: number, endMs: number): Timeline {
  const sorted = stages.toSorted((a, b) => a.startedAtMs - b.startedAtMs || a.endedAtMs - b.endedAtMs);
  const wallMs = Math.max(0, endMs - startMs);
  const coveredMs = unionMs(sorted, startMs, endMs);
  return { stages: sorted, wallMs, coveredShare: wallMs === 0 ? 0 : Math.min(1, coveredMs / wallMs) };
}

/** Length of the union of the intervals inside [startMs, endMs]; `sorted` by start. */
function unionMs(sorted: readonly Stage[], startMs: number, endMs: number): number {
  let coveredMs = 0;
  let reachedMs = startMs;
  for (const stage of sorted) {
    const from = Math.max(stage.startedAtMs, reachedMs);
    const to = Math.min(stage.endedAtMs, endMs);
    if (to <= from) continue;
    coveredMs += to - from;
    reachedMs = to;
  }
  return coveredMs;
}
