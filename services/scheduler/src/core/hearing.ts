/**
 * Since when this scheduler hears heartbeats without a break. A gap in all of them is its own deafness as likely as
 * the hosts' silence, so silence counts anew from the first one after the gap.
 */
export interface Hearing {
  readonly sinceMs: number;
  readonly lastMs: number;
}

export function hear(hearing: Hearing, nowMs: number, suspectAfterMs: number): Hearing {
  const deaf = nowMs - hearing.lastMs > suspectAfterMs;
  return { sinceMs: deaf ? nowMs : hearing.sinceMs, lastMs: nowMs };
}
