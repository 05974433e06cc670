/** Finds tables that every live host serves by now. */
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { Kysely } from "kysely";
import { acknowledgeTables } from "../outbound/route-store.ts";
import type { RouterTables } from "../outbound/tables.ts";

export async function reconcileAcknowledgements(given: {
  readonly db: Kysely<RouterTables>;
  readonly log: Log;
  /** Called when facts were stored: the outbox and the first answers follow at once. */
  readonly marked: () => void;
}): Promise<void> {
  const marked = await acknowledgeTables(given.db);
  for (const fact of marked) given.log.info("routes.acknowledged", fact);
  if (marked.length === 0) return;
  crashPoint("router.acknowledged");
  given.marked();
}
