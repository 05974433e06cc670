/** Whose credentials are taken back: the keys of hosts that were removed. */
import { sql } from "kysely";
import type { Revocations } from "./account-signer.ts";
import type { Db } from "./tables.ts";

/** Keeps the account's JWT far below what the bus carries; the hosts removed longest ago are left out beyond it. */
export const MOST_REVOKED_HOSTS = 3000;

export async function readRevocations(db: Db): Promise<Revocations> {
  const found = await sql<{ agent: string; logshipper: string; seconds: number }>`
    select agent_key as agent, logshipper_key as logshipper, ceil(extract(epoch from removed_at))::float8 as seconds
      from api.hosts where removed_at is not null order by removed_at desc limit ${MOST_REVOKED_HOSTS}`.execute(
    db,
  );
  return Object.fromEntries(
    found.rows.flatMap(({ agent, logshipper, seconds }) => [
      [agent, seconds],
      [logshipper, seconds],
    ]),
  );
}
