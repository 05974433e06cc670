/**
 * A response of newline-delimited JSON that lasts. Its memory is bounded: what a slow reader does not take in time
 * is dropped and counted. An empty line every 15 s keeps proxies and clients from giving up.
 */
import type { ServerResponse } from "node:http";

const MAX_WAITING_BYTES = 1024 * 1024;
const KEEP_ALIVE_MS = 15_000;
/** A reader that takes nothing for this long is gone. */
const STALLED_MS = 60_000;

export class EventStream<E> {
  readonly #raw: ServerResponse;
  readonly #ended = new AbortController();
  readonly #keepAlive: NodeJS.Timeout;
  #lastTakenMs = Date.now();

  constructor(raw: ServerResponse, headers: Readonly<Record<string, string>>) {
    this.#raw = raw;
    raw.writeHead(200, {
      ...headers,
      "content-type": "application/x-ndjson; charset=utf-8",
      "cache-control": "no-store",
    });
    raw.flushHeaders();
    raw.on("drain", () => {
      this.#lastTakenMs = Date.now();
    });
    raw.on("close", () => this.#stop());
    raw.on("error", () => this.#stop());
    this.#keepAlive = setInterval(() => this.#beat(), KEEP_ALIVE_MS).unref();
  }

  /** Aborted when the reader left or the stream ended. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** @returns false when the reader is too slow and the event was dropped */
  offer(event: E): boolean {
    if (this.ended.aborted || this.#raw.writableLength > MAX_WAITING_BYTES) return false;
    this.#write(`${JSON.stringify(event)}\n`);
    return true;
  }

  /** Sends what must not be dropped: one notice or the last event. */
  send(event: E): void {
    if (!this.ended.aborted) this.#write(`${JSON.stringify(event)}\n`);
  }

  end(): void {
    if (!this.ended.aborted) this.#raw.end();
    this.#stop();
  }

  #write(text: string): void {
    if (this.#raw.write(text)) this.#lastTakenMs = Date.now();
  }

  #beat(): void {
    if (this.#raw.writableLength > 0 && Date.now() - this.#lastTakenMs > STALLED_MS) this.#raw.destroy();
    else if (this.#raw.writableLength === 0) this.#write("\n");
  }

  #stop(): void {
    clearInterval(this.#keepAlive);
    this.#ended.abort();
  }
}
