/**
 * The engine's events, as hints: followed for ever, and followed again when the stream ends or is silent.
 *
 * A stream may freeze without ending. So each lives only for a while, a list that shows what no event told ends it
 * at once, and the next one begins where the last event was.
 */
import { sleep } from "@berth/shared/kit/clock.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import type { JobSet } from "../jobs/job-set.ts";
import type { Engine } from "../outbound/docker.ts";

const AGAIN_MS = 500;
const STREAM_LIFE_MS = 120_000;

export interface EngineEvents {
  /** A list saw what no event told: whoever is silent is not trusted any longer. */
  suspect(): void;
  close(): void;
}

export function followEngineEvents(engine: Engine, jobs: Pick<JobSet, "noteEvent">, log: Log): EngineEvents {
  const closed = new AbortController();
  let doubt = new AbortController();
  let newestMs: number | null = null;
  void (async () => {
    while (!closed.signal.aborted) {
      doubt = new AbortController();
      const life = AbortSignal.any([doubt.signal, AbortSignal.timeout(STREAM_LIFE_MS)]);
      try {
        const onEvent = (event: Parameters<JobSet["noteEvent"]>[0]) => {
          newestMs = Math.max(newestMs ?? 0, event.atMs);
          jobs.noteEvent(event);
        };
        await engine.followEvents(newestMs, onEvent, AbortSignal.any([closed.signal, life]));
      } catch (error) {
        if (!life.aborted && !closed.signal.aborted)
          log.debug("engine.events-lost", { error: describeError(error) });
      }
      if (!life.aborted) await sleep(AGAIN_MS, closed.signal);
    }
  })();
  return {
    suspect: () => {
      log.warn("engine.events-missed", { sinceMs: newestMs });
      doubt.abort();
    },
    close: () => closed.abort(),
  };
}
