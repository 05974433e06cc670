/** Who may use which service: reads the api's tables. */
import { createHash } from "node:crypto";
import { EnvironmentId, OrgId, ServiceId, UserId } from "@berth/shared/domain/ids.ts";
import type { Secret } from "@berth/shared/kit/secret.ts";
import type { Kysely } from "kysely";
import { sql } from "kysely";
import { z } from "zod";
import type { GitTables } from "./tables.ts";

const TokenRow = z.object({ userId: UserId, expiresAt: z.date().nullable(), revokedAt: z.date().nullable() });
export type TokenRow = z.infer<typeof TokenRow>;

const ServiceRow = z.object({
  id: ServiceId,
  orgId: OrgId,
  environmentId: EnvironmentId,
  org: z.string(),
  environment: z.string(),
  name: z.string(),
  deployBranch: z.string(),
  hostnameLabel: z.string(),
});
/** A service with the names and ids around it. */
export type GitService = z.infer<typeof ServiceRow>;

const SERVICE_COLUMNS = sql`
  s.id, s.org_id as "orgId", s.environment_id as "environmentId", o.name as org, e.name as environment, s.name,
  s.deploy_branch as "deployBranch", s.hostname_label as "hostnameLabel"
  from api.services s join api.environments e on e.id = s.environment_id join api.orgs o on o.id = s.org_id`;
const LIVING = sql`s.deleted_at is null and e.deleted_at is null`;

export class Directory {
  readonly #db: Kysely<GitTables>;

  constructor(db: Kysely<GitTables>) {
    this.#db = db;
  }

  /** @returns the token's row, even an expired or revoked one, or null when it is unknown */
  async findToken(token: Secret): Promise<TokenRow | null> {
    const hash = createHash("sha256").update(token.reveal()).digest("hex");
    const found = await sql`
      select user_id as "userId", expires_at as "expiresAt", revoked_at as "revokedAt"
      from api.tokens where hash = ${hash}`.execute(this.#db);
    return found.rows[0] === undefined ? null : TokenRow.parse(found.rows[0]);
  }

  /** @returns null when there is no such service or the user is no member of its org: the two look the same */
  async findService(
    userId: UserId,
    names: { org: string; environment: string; service: string },
  ): Promise<GitService | null> {
    const found = await sql`
      select ${SERVICE_COLUMNS} join api.members m on m.org_id = s.org_id and m.user_id = ${userId}
      where o.name = ${names.org} and e.name = ${names.environment} and s.name = ${names.service} and ${LIVING}`.execute(
      this.#db,
    );
    return found.rows[0] === undefined ? null : ServiceRow.parse(found.rows[0]);
  }

  /** Of the given services those that still exist. */
  async listServices(ids: readonly ServiceId[]): Promise<GitService[]> {
    if (ids.length === 0) return [];
    const found = await sql`select ${SERVICE_COLUMNS} where s.id = any(${ids}) and ${LIVING}`.execute(
      this.#db,
    );
    return found.rows.map((row) => ServiceRow.parse(row));
  }
}
