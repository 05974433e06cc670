/**
 * How many starts an engine is given at once: raised while more at once is faster than one after another, cut when it
 * is slower or when one does not end.
 *
 * The measure is the engine's own best start, so a slow machine is compared with itself. The best is forgotten
 * slowly: a machine that became slower for good is not held at one start for ever.
 */

export interface StartPace {
  /** Starts at once; the whole part of it counts. */
  readonly limit: number;
  /** The limit never passes this. */
  readonly mostCount: number;
  readonly bestMs: number | null;
  /** Starts since the limit was last cut: those that were under way then say nothing new. */
  readonly sinceCutCount: number;
}

export interface SeenStart {
  readonly tookMs: number;
  /** Most starts at once while it was under way, itself included. */
  readonly inFlightCount: number;
  /** True when it did not end within its deadline, or the engine did not answer. */
  readonly failed: boolean;
}

const FIRST = 4;
const FORGET_BEST = 1.01;
/** Of the time that the same starts would take one after another. */
const CLEARLY_FASTER = 0.75;
const CLEARLY_SLOWER = 1.5;
const CUT = 0.75;
const CUT_AFTER_FAILURE = 0.5;

export function newPace(mostCount: number): StartPace {
  return { limit: Math.min(FIRST, mostCount), mostCount, bestMs: null, sinceCutCount: 0 };
}

export function adaptStarts(pace: StartPace, seen: SeenStart): StartPace {
  if (seen.failed) return cut(pace, CUT_AFTER_FAILURE);
  const bestMs = Math.min(seen.tookMs, (pace.bestMs ?? seen.tookMs) * FORGET_BEST);
  const next = { ...pace, bestMs, sinceCutCount: pace.sinceCutCount + 1 };
  const oneByOneMs = bestMs * seen.inFlightCount;
  if (seen.inFlightCount > 1 && seen.tookMs > oneByOneMs * CLEARLY_SLOWER) return cut(next, CUT);
  // What does not use the limit tells nothing about a higher one.
  const usesLimit = seen.inFlightCount >= Math.floor(pace.limit);
  const isFaster = seen.inFlightCount === 1 || seen.tookMs < oneByOneMs * CLEARLY_FASTER;
  if (!usesLimit || !isFaster) return next;
  return { ...next, limit: Math.min(pace.mostCount, pace.limit + 1 / pace.limit) };
}

function cut(pace: StartPace, factor: number): StartPace {
  if (pace.sinceCutCount < Math.floor(pace.limit)) return { ...pace, sinceCutCount: pace.sinceCutCount + 1 };
  return { ...pace, limit: Math.max(1, pace.limit * factor), sinceCutCount: 0 };
}
