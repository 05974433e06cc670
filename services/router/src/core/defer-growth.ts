/**
 * Which changed tables are told now. A site that has backends and gets more of them can wait a little: many instances
 * that come one after another are told together (`growthRestMs`). Nothing else waits.
 */
import type { RouteTable } from "@berth/shared/contracts/route.ts";
import { type Deferred, deferred, growthRestMs } from "@berth/shared/domain/growth-rest.ts";
import { type StoredTable, sameContent } from "./plan-tables.ts";

export interface ToldTable extends StoredTable {
  /** Since this version was made. */
  readonly ageMs: number;
}

/** @param changed as `planTables` made them from `told` */
export function deferGrowth(
  changed: readonly RouteTable[],
  told: readonly ToldTable[],
): Deferred<RouteTable> {
  const before = new Map(told.map((table) => [table.environmentId, table]));
  return deferred(changed, (table) => waitMs(table, before.get(table.environmentId)));
}

function waitMs(table: RouteTable, told: ToldTable | undefined): number {
  if (told === undefined || !onlyGrew(told, table)) return 0;
  const backends = told.sites.reduce((sum, site) => sum + site.backends.length, 0);
  return growthRestMs(backends, told.ageMs);
}

/** True when it is the table of before once the backends that are new are taken away, and no site got its first one. */
function onlyGrew(before: StoredTable, after: StoredTable): boolean {
  const had = new Map(
    before.sites.map(({ hostname, backends }) => [hostname, new Set(backends.map(textOf))]),
  );
  const kept = after.sites.map((site) => ({
    ...site,
    backends: site.backends.filter((backend) => had.get(site.hostname)?.has(textOf(backend))),
  }));
  const hasFirst = after.sites.some(({ hostname, backends }) => {
    return backends.length > 0 && (had.get(hostname)?.size ?? 0) === 0;
  });
  return !hasFirst && sameContent(before, { ...after, sites: kept });
}

function textOf({ jobId, address, port }: RouteTable["sites"][number]["backends"][number]): string {
  return `${jobId} ${address} ${port}`;
}
