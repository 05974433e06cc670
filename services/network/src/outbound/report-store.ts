/** The newest report of each host. An older word than the stored one changes nothing. */
import { NetworkReport } from "@berth/shared/contracts/network.ts";
import { type Kysely, sql } from "kysely";
import type { z } from "zod";
import type { NetworkTables } from "./tables.ts";

type Report = z.infer<typeof NetworkReport.payload>;

export async function storeReport(db: Kysely<NetworkTables>, report: Report): Promise<void> {
  await sql`
    insert into reports (host_id, at_ms, report)
    values (${report.hostId}, ${report.atMs}, ${JSON.stringify(report)}::jsonb)
    on conflict (host_id) do update set at_ms = excluded.at_ms, report = excluded.report
      where reports.at_ms < excluded.at_ms`.execute(db);
}

export async function readReports(db: Kysely<NetworkTables>): Promise<Report[]> {
  const { rows } = await sql<{ report: unknown }>`select report from reports`.execute(db);
  return rows.flatMap(({ report }) => {
    const parsed = NetworkReport.payload.safeParse(report);
    return parsed.success ? [parsed.data] : [];
  });
}
