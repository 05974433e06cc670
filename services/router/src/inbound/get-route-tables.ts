/** Answers an edge that asks for the tables it lacks. Throwing means no answer: the edge keeps what it has. */
import type { GetRouteTables } from "@berth/shared/contracts/route.ts";
import type { Kysely } from "kysely";
import type { z } from "zod";
import { fitTables } from "../core/fit-tables.ts";
import { readTables, readVersions } from "../outbound/route-store.ts";
import type { RouterTables } from "../outbound/tables.ts";

type Asked = z.infer<typeof GetRouteTables.payload>;
type Answer = z.infer<typeof GetRouteTables.reply>;

export function onGetRouteTables(db: Kysely<RouterTables>): (asked: Asked) => Promise<Answer> {
  return async ({ known }) => {
    const versions = await readVersions(db);
    const newer = Object.keys(versions).filter((id) => (known[id] ?? 0) < (versions[id] ?? 0));
    const tables = newer.length === 0 ? [] : await readTables(db, newer);
    return { whole: true, versions, tables: fitTables(tables, known) };
  };
}
