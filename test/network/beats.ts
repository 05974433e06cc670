/** What a stream of small datagrams says of a way between two containers: when it was away, and for how long. */
import type { Beats } from "./probe-order.ts";

export interface Gap {
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

/** Lost now and then is no gap: one is at least so long. */
const leastGapMs = 400;

/** When answers came, in order: what was held up on the way comes late, and all at once. */
function answersAtMs(beats: Beats): number[] {
  return beats.flatMap(({ atMs, tookMs }) => (tookMs === null ? [] : [atMs + tookMs])).sort((a, b) => a - b);
}

/** Stretches in which no answer came, of a stream that was answered before and after. */
export function gapsOf(beats: Beats): Gap[] {
  const answers = answersAtMs(beats);
  return answers.flatMap((endedAtMs, i) => {
    const startedAtMs = answers[i - 1];
    return startedAtMs === undefined || endedAtMs - startedAtMs < leastGapMs
      ? []
      : [{ startedAtMs, endedAtMs }];
  });
}

export function longestGapMs(beats: Beats): number {
  return Math.max(0, ...gapsOf(beats).map(({ startedAtMs, endedAtMs }) => endedAtMs - startedAtMs));
}

/** @returns how long after `atMs` the first answer came; null when none did */
export function backAfterMs(beats: Beats, atMs: number): number | null {
  const first = answersAtMs(beats).find((at) => at >= atMs);
  return first === undefined ? null : first - atMs;
}

/** Of those that were sent since, in [0, 1]; what was sent in the last second may still be under way. */
export function answeredShare(beats: Beats, fromMs: number, toMs: number): number {
  const sent = beats.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
  return sent.length === 0 ? 0 : sent.filter(({ tookMs }) => tookMs !== null).length / sent.length;
}
