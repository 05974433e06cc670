/**
 * Finds what a request names, together with the caller's membership, in one statement: something of an org that
 * the caller is not a member of is not found, exactly like something that does not exist.
 */
import { createHash } from "node:crypto";
import { sql } from "kysely";
import type { Db } from "./tables.ts";

export interface Caller {
  readonly userId: string;
  readonly email: string;
  readonly isOperator: boolean;
  readonly tokenId: string;
  readonly tokenName: string;
  readonly tokenExpiresAt: Date | null;
}

export interface OrgReach {
  readonly role: "owner" | "member";
  readonly orgId: string;
  readonly org: string;
}
export interface EnvironmentReach extends OrgReach {
  readonly environmentId: string;
  readonly environment: string;
}
export interface ServiceReach extends EnvironmentReach {
  readonly serviceId: string;
  readonly service: string;
  readonly hostnameLabel: string;
}
export interface DeployReach extends ServiceReach {
  readonly deployId: string;
}
export interface BuildReach extends ServiceReach {
  readonly buildId: string;
}

export function hashToken(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

/** @returns undefined when the token is unknown, expired or revoked */
export async function findCaller(db: Db, token: string): Promise<Caller | undefined> {
  const found = await sql<Caller>`
    select u.id as "userId", u.email, u.is_operator as "isOperator", t.id as "tokenId", t.name as "tokenName",
           t.expires_at as "tokenExpiresAt"
    from api.tokens t join api.users u on u.id = t.user_id
    where t.hash = ${hashToken(token)} and t.revoked_at is null and (t.expires_at is null or t.expires_at > now())
  `.execute(db);
  return found.rows[0];
}

export async function findOrg(db: Db, userId: string, org: string): Promise<OrgReach | undefined> {
  const found = await sql<OrgReach>`
    select m.role, o.id as "orgId", o.name as org
    from api.orgs o join api.members m on m.org_id = o.id and m.user_id = ${userId}
    where o.name = ${org}
  `.execute(db);
  return found.rows[0];
}

export async function findEnvironment(
  db: Db,
  userId: string,
  named: { org: string; environment: string },
): Promise<EnvironmentReach | undefined> {
  const found = await sql<EnvironmentReach>`
    select m.role, o.id as "orgId", o.name as org, e.id as "environmentId", e.name as environment
    from api.environments e
      join api.orgs o on o.id = e.org_id
      join api.members m on m.org_id = o.id and m.user_id = ${userId}
    where o.name = ${named.org} and e.name = ${named.environment} and e.deleted_at is null
  `.execute(db);
  return found.rows[0];
}

const SERVICE_COLUMNS = sql`
  m.role, o.id as "orgId", o.name as org, e.id as "environmentId", e.name as environment,
  s.id as "serviceId", s.name as service, s.hostname_label as "hostnameLabel"`;

export async function findService(
  db: Db,
  userId: string,
  named: { org: string; environment: string; service: string },
): Promise<ServiceReach | undefined> {
  const found = await sql<ServiceReach>`
    select ${SERVICE_COLUMNS}
    from api.services s
      join api.environments e on e.id = s.environment_id and e.deleted_at is null
      join api.orgs o on o.id = s.org_id
      join api.members m on m.org_id = o.id and m.user_id = ${userId}
    where o.name = ${named.org} and e.name = ${named.environment} and s.name = ${named.service} and s.deleted_at is null
  `.execute(db);
  return found.rows[0];
}

/** Deploys and builds of a removed service stay readable: their history is the org's. */
export async function findDeploy(db: Db, userId: string, deployId: string): Promise<DeployReach | undefined> {
  const found = await sql<DeployReach>`
    select ${SERVICE_COLUMNS}, d.deploy_id as "deployId"
    from scheduler.deploy_overview d
      join api.services s on s.id = d.service_id
      join api.environments e on e.id = s.environment_id
      join api.orgs o on o.id = s.org_id
      join api.members m on m.org_id = o.id and m.user_id = ${userId}
    where d.deploy_id = ${deployId}
  `.execute(db);
  return found.rows[0];
}

export async function findBuild(db: Db, userId: string, buildId: string): Promise<BuildReach | undefined> {
  const found = await sql<BuildReach>`
    select ${SERVICE_COLUMNS}, b.id as "buildId"
    from builder.builds b
      join api.services s on s.id = b.service_id
      join api.environments e on e.id = s.environment_id
      join api.orgs o on o.id = s.org_id
      join api.members m on m.org_id = o.id and m.user_id = ${userId}
    where b.id = ${buildId}
  `.execute(db);
  return found.rows[0];
}
