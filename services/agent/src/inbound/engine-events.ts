/** The engine's events, as hints: followed for ever, and followed again when the stream ends or is silent. */
import { sleep } from "@berth/shared/kit/clock.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import type { JobSet } from "../jobs/job-set.ts";
import type { Engine } from "../outbound/docker.ts";

const AGAIN_MS = 500;
/** A stream may freeze without ending; a new one costs nothing. */
const STREAM_LIFE_MS = 120_000;

export function followEngineEvents(engine: Engine, jobs: JobSet, log: Log) {
  const closed = new AbortController();
  void (async () => {
    while (!closed.signal.aborted) {
      const life = AbortSignal.timeout(STREAM_LIFE_MS);
      try {
        await engine.followEvents((event) => jobs.noteEvent(event), AbortSignal.any([closed.signal, life]));
      } catch (error) {
        if (!life.aborted && !closed.signal.aborted)
          log.debug("engine.events-lost", { error: describeError(error) });
      }
      if (!closed.signal.aborted && !life.aborted) await sleep(AGAIN_MS, closed.signal);
    }
  })();
  return { close: () => closed.abort() };
}
