/**
 * Lines of one service that wait to be told live. Bounded: when the reader is too slow, or the app too loud, new
 * lines are dropped and counted; what is kept on disk is not touched by this.
 */
import type { LogLine } from "@berth/shared/contracts/log.ts";

export const MAX_WAITING_LINES = 5000;
export const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** One message: below the bus's limit even when every character must be escaped. */
export const MAX_BATCH_LINES = 500;
export const MAX_BATCH_BYTES = 128 * 1024;

export interface Batch {
  readonly lines: readonly LogLine[];
  readonly droppedCount: number;
}

export class LiveQueue {
  #lines: LogLine[] = [];
  #bytes = 0;
  #dropped = 0;

  get isEmpty(): boolean {
    return this.#lines.length === 0 && this.#dropped === 0;
  }

  add(line: LogLine): void {
    const isFull = this.#lines.length >= MAX_WAITING_LINES || this.#bytes >= MAX_WAITING_BYTES;
    if (isFull) {
      this.#dropped += 1;
      return;
    }
    this.#lines.push(line);
    this.#bytes += line.text.length;
  }

  /** The next message's worth of lines, with the count of those dropped since the last one. */
  take(): Batch {
    let bytes = 0;
    let count = 0;
    for (const line of this.#lines) {
      if (count >= MAX_BATCH_LINES || (count > 0 && bytes + line.text.length > MAX_BATCH_BYTES)) break;
      bytes += line.text.length;
      count += 1;
    }
    const lines = this.#lines.slice(0, count);
    this.#lines = this.#lines.slice(count);
    this.#bytes -= bytes;
    const droppedCount = this.#dropped;
    this.#dropped = 0;
    return { lines, droppedCount };
  }

  /** Nobody could be told: the next message says so. */
  giveUp(batch: Batch): void {
    this.#dropped += batch.lines.length + batch.droppedCount;
  }
}
