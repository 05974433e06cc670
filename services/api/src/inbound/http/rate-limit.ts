/** A token bucket per key (a token's hash or an address), bounded in number: the one used longest ago goes first. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import type { Bucket, BucketSize } from "../../core/token-bucket.ts";
import { takeToken } from "../../core/token-bucket.ts";

const MAX_KEYS = 10_000;

export class RateLimit {
  readonly #size: BucketSize;
  readonly #buckets = new Map<string, Bucket>();

  constructor(size: BucketSize) {
    this.#size = size;
  }

  /** @throws BerthError `too-many-requests` that names the wait */
  take(key: string, nowMs: number): void {
    const { bucket, waitMs } = takeToken(this.#buckets.get(key), this.#size, nowMs);
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > MAX_KEYS) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    if (waitMs > 0) {
      throw new BerthError(
        "too-many-requests",
        `the limit is ${this.#size.perSecond} requests per second; try again in ${waitMs} ms`,
      );
    }
  }
}
