/** A push arrived: it becomes a waiting build, and the queue is looked at. Repeats change nothing. */
import type { SourcePushed } from "@berth/shared/contracts/push.ts";
import type { MessageContext } from "@berth/shared/kit/bus.ts";
import type { z } from "zod";
import { addBuild } from "../outbound/queue-store.ts";
import type { Db } from "../outbound/tables.ts";

export function onSourcePushed(given: { db: Db; wake: () => void }) {
  return async (push: z.infer<typeof SourcePushed.payload>, context: MessageContext): Promise<void> => {
    await addBuild(given.db, { ...push, traceparent: context.traceparent });
    given.wake();
  };
}
