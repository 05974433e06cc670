/**
 * Chooses the tables for one answer: those that the edge does not have, as many as one message may carry.
 * The edge sees from `versions` that more are missing and asks again.
 */
import type { RouteTable } from "@berth/shared/contracts/route.ts";

/** The bus refuses messages past 1 MiB; the rest is left to `versions`, ids and the envelope. */
export const TABLES_LIMIT_BYTES = 600_000;
const TABLES_LIMIT = 1000;

/** @param known environment → version that the edge holds; a higher one than stored is sent nothing */
export function fitTables(
  tables: readonly RouteTable[],
  known: Readonly<Record<string, number>>,
  limitBytes = TABLES_LIMIT_BYTES,
): RouteTable[] {
  const fitting: RouteTable[] = [];
  let bytes = 0;
  for (const table of tables) {
    if ((known[table.environmentId] ?? 0) >= table.version) continue;
    bytes += tableBytes(table);
    if (fitting.length > 0 && (bytes > limitBytes || fitting.length >= TABLES_LIMIT)) break;
    fitting.push(table);
  }
  return fitting;
}

export function tableBytes(table: RouteTable): number {
  return JSON.stringify(table).length;
}
