/**
 * Knows when the Docker Engine goes away under a build. The build then fails in some place and with some words, but
 * that is the platform's failure: it must not be told to the pusher as the code's.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { BuildStopped } from "../core/build-stopped.ts";
import type { BuildEngine } from "./engine.ts";

/** Why a build ends whose engine went away. */
export class EngineGone extends BuildStopped {
  override name = "EngineGone";
  constructor() {
    super({ code: "platform", detail: "the Docker Engine that builds went away" });
  }
}

export interface EngineWatch {
  /** Aborts with `EngineGone`. */
  readonly signal: AbortSignal;
  /** A build that failed asks this: its own failure may be seen before the engine's. */
  isGone(): Promise<boolean>;
  close(): void;
}

/** The engine's death closes the build's connection and this one at the same moment; one of them is read first. */
const SEEN_WITHIN_MS = 200;
const POLL_MS = 500;

export function watchEngine(engine: Pick<BuildEngine, "gone">): EngineWatch {
  const gone = new AbortController();
  const closed = new AbortController();
  const watching = engine.gone(closed.signal).then(() => {
    if (!closed.signal.aborted) gone.abort(new EngineGone());
  });
  return {
    signal: gone.signal,
    isGone: async () => {
      await Promise.race([watching, sleep(SEEN_WITHIN_MS)]);
      return gone.signal.aborted;
    },
    close: () => closed.abort(),
  };
}

/** @returns false when it does not answer in time, or `signal` fires first */
export async function engineAnswers(
  engine: Pick<BuildEngine, "version">,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const endMs = performance.now() + timeoutMs;
  while (!signal.aborted && performance.now() < endMs) {
    const answers = await engine.version().then(
      () => true,
      () => false,
    );
    if (answers) return true;
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
  }
  return false;
}
