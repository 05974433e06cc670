/** How long a proxy at rest is not read whole: what it costs to read it is bounded, whatever it holds. Pure. */
const PER_HOST_MS = 60;
const MOST_MS = 60_000;

/** @param hostsCount host names that it serves */
export function restMsOf(hostsCount: number, leastMs = 0): number {
  return Math.min(MOST_MS, Math.max(leastMs, hostsCount * PER_HOST_MS));
}
