/** Waits for a level with a deadline; while a part is down, a look that fails counts as "not yet". */
import { setTimeout as delay } from "node:timers/promises";

/** @throws Error that says what was waited for and what was seen last */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | string[]>,
  timeoutMs: number,
  pauseMs = 50,
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    let last: unknown;
    try {
      const seen = await look();
      if (seen !== undefined && !isProblems(seen)) return seen;
      last = seen;
    } catch (error) {
      last = error;
    }
    if (performance.now() > endMs)
      throw new Error(`waited ${timeoutMs / 1000} s for ${what}; last: ${describe(last)}`);
    await delay(pauseMs);
  }
}

/** A look may answer what is still wrong, so that a timeout tells it. */
function isProblems(seen: unknown): seen is string[] {
  return Array.isArray(seen) && seen.length > 0 && typeof seen[0] === "string";
}

function describe(last: unknown): string {
  if (last instanceof Error) return last.message;
  return last === undefined ? "nothing" : JSON.stringify(last);
}
