/** How far a deploy has come, as stored: the scheduler's view and the router's first answer. */
import type { DeployId } from "@berth/shared/domain/ids.ts";
import type { Kysely } from "kysely";
import { sql } from "kysely";
import { z } from "zod";
import type { GitTables } from "./tables.ts";

const OverviewRow = z.object({
  state: z.string(),
  final: z.boolean(),
  releaseVersion: z.number().nullable(),
  reasonCode: z.string().nullable(),
  reason: z.string().nullable(),
});
export type OverviewRow = z.infer<typeof OverviewRow>;

/** @returns null while nobody has seen the deploy. @throws while the database or the view is away */
export async function readOverview(db: Kysely<GitTables>, deployId: DeployId): Promise<OverviewRow | null> {
  const found = await sql`
    select state, final, release_version as "releaseVersion", reason_code as "reasonCode", reason
    from scheduler.deploy_overview where deploy_id = ${deployId}`.execute(db);
  return found.rows[0] === undefined ? null : OverviewRow.parse(found.rows[0]);
}
