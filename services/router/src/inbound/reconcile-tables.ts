/** Makes tables anew and tells the edges of those that changed, or that some live edge still lacks. */

import type { RouteTable } from "@berth/shared/contracts/route.ts";
import { RouteTableChanged } from "@berth/shared/contracts/route.ts";
import type { Deferred } from "@berth/shared/domain/growth-rest.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { ChangedEnvironments } from "@berth/shared/kit/changed-environments.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { Kysely } from "kysely";
import { TABLES_LIMIT_BYTES, tableBytes } from "../core/fit-tables.ts";
import { readLagging, storeTables } from "../outbound/route-store.ts";
import type { RouterTables } from "../outbound/tables.ts";

interface Given {
  readonly db: Kysely<RouterTables>;
  readonly bus: Bus;
  readonly log: Log;
  readonly podDomain: string;
  readonly changes: ChangedEnvironments;
  /** Asks for another run after this. */
  readonly again: (afterMs: number) => void;
}

/** Nothing is made while nobody could be told: the table would only be told again after it counts as lagging. */
export async function reconcileTables(given: Given): Promise<void> {
  if (!given.bus.connected) return;
  const { now, againInMs } = await storeChanged(given);
  if (againInMs !== null) given.again(againInMs);
  for (const table of now) {
    crashPoint("router.table-stored");
    tell(given, table);
    crashPoint("router.table-told");
    const backends = table.sites.reduce((sum, site) => sum + site.backends.length, 0);
    const { environmentId, version } = table;
    given.log.info("routes.changed", { environmentId, version, sites: table.sites.length, backends });
  }
}

async function storeChanged({ db, podDomain, changes }: Given): Promise<Deferred<RouteTable>> {
  try {
    const stored = await storeTables(db, podDomain, await changes.next());
    changes.note(stored.waiting.map(({ environmentId }) => environmentId));
    return stored;
  } catch (error) {
    changes.all();
    throw error;
  }
}

/** A table is told again after this, and again every second, while a live edge lacks it. */
const REPEAT_AFTER_MS = 1000;

export async function repeatLagging(given: Omit<Given, "again" | "changes">): Promise<void> {
  for (const table of await readLagging(given.db, REPEAT_AFTER_MS)) {
    tell(given, table);
    given.log.warn("routes.repeated", { environmentId: table.environmentId, version: table.version });
  }
}

/** A table past the limit is not told: the edges fetch it, one table in one answer. */
function tell({ bus, log }: Pick<Given, "bus" | "log">, table: RouteTable): void {
  const bytes = tableBytes(table);
  if (bytes <= TABLES_LIMIT_BYTES)
    bus.signal(RouteTableChanged, { environmentId: table.environmentId, table });
  else
    log.warn("routes.too-large-to-tell", {
      environmentId: table.environmentId,
      bytes,
      limitBytes: TABLES_LIMIT_BYTES,
    });
}
