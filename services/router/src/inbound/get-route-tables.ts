/**
 * Answers a host that asks for the tables it lacks, and keeps what it says of its proxies. Throwing means no answer: the
 * host keeps what it has, and says it again.
 */
import type { GetRouteTables } from "@berth/shared/contracts/route.ts";
import type { Kysely } from "kysely";
import type { z } from "zod";
import { fitTables } from "../core/fit-tables.ts";
import { storeProxies } from "../outbound/proxy-store.ts";
import { readTables } from "../outbound/read-record.ts";
import { readVersions } from "../outbound/route-store.ts";
import type { RouterTables } from "../outbound/tables.ts";

type Asked = z.infer<typeof GetRouteTables.payload>;
type Answer = z.infer<typeof GetRouteTables.reply>;

/** @param changed told the environments whose proxies are others now */
export function onGetRouteTables(
  db: Kysely<RouterTables>,
  changed: (environmentIds: readonly string[]) => void,
): (asked: Asked) => Promise<Answer> {
  return async ({ hostId, known, proxies }) => {
    if (proxies !== undefined) {
      const environmentIds = await storeProxies(db, hostId, proxies);
      if (environmentIds.length > 0) changed(environmentIds);
    }
    const versions = await readVersions(db);
    const newer = Object.keys(versions).filter((id) => (known[id] ?? 0) < (versions[id] ?? 0));
    const tables = newer.length === 0 ? [] : await readTables(db, newer);
    return { whole: true, versions, tables: fitTables(tables, known) };
  };
}
