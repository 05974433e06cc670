/**
 * Whether a tunnel to one other host works, from the probes through it and from what WireGuard counts.
 *
 * A handshake alone proves nothing: a tunnel that carries one way only has a fresh one. So a tunnel is up when
 * something came back lately: an answer to a probe, or any packet. An agent over there that is being restarted answers
 * no probe; WireGuard itself still sends a word back, so that is no stall.
 */

/** Of the last probes to one peer, oldest first; null is one that was not answered. */
export type Window = readonly (number | null)[];

export const WINDOW_COUNT = 20;
/** WireGuard answers silence after 10 s of hearing, and shakes hands again after 15 s of none. */
export const STALL_AFTER_MS = 25_000;
const MOST_WAIT_MS = 300_000;

const [LEAST_PROBES, MOST_PROBES] = [10, 40];
/** Every two seconds one: well below the time after which silence is a stall. */
const ROUNDS_TO_ALL = 5;

/** Few tunnels are asked in each round, a hundred within five of them. What a probe costs is its way through two processes. */
export function probesPerRound(tunnelsCount: number): number {
  const wanted = Math.max(LEAST_PROBES, Math.ceil(tunnelsCount / ROUNDS_TO_ALL));
  return Math.min(tunnelsCount, MOST_PROBES, wanted);
}

export function noteProbe(window: Window, latencyMs: number | null): Window {
  return [...window, latencyMs].slice(-WINDOW_COUNT);
}

export interface ProbeSummary {
  readonly latencyMs: number | null;
  readonly sentCount: number;
  readonly lostCount: number;
}

export function summarize(window: Window): ProbeSummary {
  const answered = window.filter((one) => one !== null).toSorted((a, b) => a - b);
  const middle = answered[Math.floor(answered.length / 2)];
  return {
    latencyMs: middle === undefined ? null : Math.round(middle * 100) / 100,
    sentCount: window.length,
    lostCount: window.length - answered.length,
  };
}

export interface PeerLook {
  readonly nowMs: number;
  /** When this end of the tunnel was made, or last healed. */
  readonly sinceMs: number;
  /** When something last came back; null when nothing ever did. */
  readonly heardAtMs: number | null;
}

export function judgePeer({ nowMs, sinceMs, heardAtMs }: PeerLook): "up" | "starting" | "stalled" {
  if (heardAtMs !== null && nowMs - heardAtMs < STALL_AFTER_MS) return "up";
  return nowMs - sinceMs < STALL_AFTER_MS ? "starting" : "stalled";
}

/**
 * What to do about a stall: first the peer is forgotten and added again, which heals a handshake that a clock jump
 * poisoned; every third time this end makes a new key, which heals what the other end remembers of the old one.
 */
export function healing(healedCount: number): "renew-peer" | "new-key" {
  return healedCount % 3 === 2 ? "new-key" : "renew-peer";
}

/** How long to wait after the nth healing before the next: a host that is off must not cost its neighbours. */
export function healWaitMs(healedCount: number): number {
  return Math.min(MOST_WAIT_MS, STALL_AFTER_MS * 2 ** Math.min(healedCount, 6));
}
