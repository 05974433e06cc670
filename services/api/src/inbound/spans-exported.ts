/** Collects finished spans of all processes and stores them in batches; what comes faster than that is dropped. */
import type { Span } from "@berth/shared/contracts/telemetry.ts";
import { SpansExported } from "@berth/shared/contracts/telemetry.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import type { Closable } from "@berth/shared/kit/service.ts";
import { storeSpans } from "../outbound/span-store.ts";
import type { Db } from "../outbound/tables.ts";

const FLUSH_MS = 300;
const MAX_WAITING = 5000;
const BATCH = 500;

export function collectSpans({ db, bus, log }: { db: Db; bus: Bus; log: Log }): Closable {
  const waiting: Span[] = [];
  let flushing = false;
  const subscription = bus.on(SpansExported, {}, ({ spans }) => {
    for (const span of spans) if (waiting.length < MAX_WAITING) waiting.push(span);
  });
  const flush = async () => {
    if (flushing) return;
    flushing = true;
    try {
      while (waiting.length > 0) await storeSpans(db, waiting.splice(0, BATCH));
    } catch (error) {
      log.warn("spans.not-stored", { error: describeError(error) });
    } finally {
      flushing = false;
    }
  };
  const timer = setInterval(() => void flush(), FLUSH_MS);
  return {
    close: async () => {
      clearInterval(timer);
      await subscription.close();
      await flush();
    },
  };
}
