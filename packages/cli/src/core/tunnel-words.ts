/** `berth tunnel`: what is asked for, and what its connections tell, as words. */
import type { PassageEndReason } from "@berth/shared/contracts/passage.ts";

export interface TunnelTarget {
  readonly service: string;
  /** Null: the instances' own port. */
  readonly port: number | null;
}

/** @param text `SERVICE` or `SERVICE:PORT` @returns null for anything else */
export function parseTunnelTarget(text: string): TunnelTarget | null {
  const found = /^([^:]+)(?::(\d{1,5}))?$/.exec(text);
  if (found === null) return null;
  const port = found[2] === undefined ? null : Number(found[2]);
  return port !== null && (port < 1 || port > 65_535) ? null : { service: found[1] ?? "", port };
}

const AGAIN = "connect again to reach another one";

export const END_WORDS: Record<PassageEndReason, string> = {
  done: "ended",
  "client-left": "closed here",
  "instance-closed": "the instance closed it",
  "instance-gone": `the instance is gone; ${AGAIN}`,
  silent: `the instance's host went silent; ${AGAIN}`,
  lost: "bytes were lost on the way, so it was cut; connect again",
  protocol: "the two ends did not understand each other",
  idle: "nothing was sent for too long",
  "time-over": "the longest time of a connection is over; connect again",
  "access-ended": "you may not reach this service any more",
  "shutting-down": "the host's agent or the API was restarted; connect again",
};

/** `340 B`, `12.3 kB`, `4.0 MB`. */
export function byteWords(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
