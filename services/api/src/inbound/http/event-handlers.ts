/** The history: pages of it, and the same as it happens. What steers the live one is the stored rows, polled. */
import { sleep } from "@berth/shared/kit/clock.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import { FreshEvents } from "../../core/fresh-events.ts";
import type { HistoryEvent } from "../../outbound/event-store.ts";
import { readEvents } from "../../outbound/event-store.ts";
import type { Db } from "../../outbound/tables.ts";
import type { Handlers } from "./handler.ts";

const POLL_MS = 1000;
/** Of one reading. More than this in one window, and the oldest are left out of the live list. */
const LIVE_LIMIT = 2000;

export function eventHandlers({
  db,
  log,
}: {
  db: Db;
  log: Log;
}): Pick<Handlers, "listEvents" | "watchEvents"> {
  return {
    listEvents: async ({ caller, query }) => {
      const { limit, before, ...filter } = query;
      return readEvents(db, caller, filter, { limit, before });
    },
    watchEvents: async ({ caller, query }, open) => {
      const nowMs = Date.now();
      const fresh = new FreshEvents<HistoryEvent>(query.sinceMs ?? nowMs);
      const read = async () =>
        (await readEvents(db, caller, { ...query, sinceMs: fresh.fromMs }, { limit: LIVE_LIMIT })).events;
      const first = await read();
      const stream = open();
      const wanted = query.sinceMs ?? Number.POSITIVE_INFINITY;
      fresh.skip(first.filter(({ atMs }) => atMs <= wanted));
      for (const event of fresh.take(first)) stream.offer(event);
      while (!stream.ended.aborted) {
        await sleep(POLL_MS, stream.ended);
        if (stream.ended.aborted) return;
        try {
          for (const event of fresh.take(await read())) stream.offer(event);
        } catch (error) {
          log.warn("events.poll-failed", { error: describeError(error) });
        }
      }
    },
  };
}
