/** Waits for a level with a deadline. */
import { setTimeout as delay } from "node:timers/promises";

export async function until<T>(
  what: string,
  look: () => Promise<T | undefined>,
  timeoutMs = 15_000,
  everyMs = 20,
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    if (performance.now() > endMs) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await delay(everyMs);
  }
}
