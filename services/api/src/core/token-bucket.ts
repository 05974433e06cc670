/** A token bucket as a value: allows bursts up to `capacity`, then `perSecond` on average. */

export interface Bucket {
  readonly level: number;
  readonly atMs: number;
}

export interface BucketSize {
  readonly capacity: number;
  readonly perSecond: number;
}

/** Takes one token. @returns the new bucket, and after how many ms to try again when it was empty (else 0) */
export function takeToken(
  before: Bucket | undefined,
  size: BucketSize,
  nowMs: number,
): { bucket: Bucket; waitMs: number } {
  const passedMs = before === undefined ? 0 : Math.max(0, nowMs - before.atMs);
  const filled = before === undefined ? size.capacity : before.level + (passedMs * size.perSecond) / 1000;
  const level = Math.min(size.capacity, filled);
  if (level >= 1) return { bucket: { level: level - 1, atMs: nowMs }, waitMs: 0 };
  return { bucket: { level, atMs: nowMs }, waitMs: Math.ceil(((1 - level) / size.perSecond) * 1000) };
}
