/**
 * Makes the record ready: database, one role and one schema per service, grants, migrations.
 *
 * A service owns its schema and reads the others', but for `secrets`. Migrations run in order under an advisory
 * lock, each in its own transaction as the service's role; one that ran is never run again and never changes.
 * Everything here may be repeated.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import type { Progress } from "./progress.ts";

/** Services with a schema. `secrets` is read by nobody else. */
export const databaseServices = [
  "api",
  "git",
  "builder",
  "scheduler",
  "secrets",
  "router",
  "network",
] as const;
export type DatabaseService = (typeof databaseServices)[number];

const unread: ReadonlySet<string> = new Set(["secrets"]);
const lockKey = 7_420_001;
const connectTimeoutMs = 30_000;
const statementTimeoutMs = 120_000;

export type MigrateOptions = {
  /** A role that may create databases and roles. */
  readonly adminUrl: string;
  readonly database: string;
  readonly servicesDir: string;
  readonly passwordOf: (service: DatabaseService) => Promise<string>;
  readonly progress: Progress;
};

/** @returns the URL for each service's own role. @throws Error that names the migration and PostgreSQL's reason. */
export async function migrate(options: MigrateOptions): Promise<Readonly<Record<DatabaseService, string>>> {
  await withClient(options.adminUrl, (client) => ensureDatabase(client, options.database));
  const url = new URL(options.adminUrl);
  url.pathname = `/${options.database}`;
  await withClient(url.href, async (client) => {
    await client.query("SELECT pg_advisory_lock($1)", [lockKey]);
    for (const service of databaseServices)
      await ensureRole(client, service, await options.passwordOf(service));
    for (const service of databaseServices) await ensureSchema(client, service);
    for (const service of databaseServices) await grantReads(client, service);
    let ran = 0;
    for (const service of databaseServices) ran += await runMigrations(client, service, options);
    options.progress(ran === 0 ? "postgres: schemas are up to date" : `postgres: ${ran} migrations run`);
  });
  const urls = await Promise.all(
    databaseServices.map(
      async (service) => [service, serviceUrl(url, service, await options.passwordOf(service))] as const,
    ),
  );
  return Object.fromEntries(urls) as Record<DatabaseService, string>;
}

export function roleOf(service: DatabaseService): string {
  return `berth_${service}`;
}

function serviceUrl(database: URL, service: DatabaseService, password: string): string {
  const url = new URL(database);
  url.username = roleOf(service);
  url.password = password;
  return url.href;
}

/** Connects (waiting for a server that is still starting), runs, and always disconnects. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await connectPatiently(url);
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function connectPatiently(url: string): Promise<pg.Client> {
  const deadline = Date.now() + connectTimeoutMs;
  for (;;) {
    const client = new pg.Client({
      connectionString: url,
      statement_timeout: statementTimeoutMs,
      connectionTimeoutMillis: 5000,
    });
    client.on("error", () => undefined);
    try {
      await client.connect();
      return client;
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      const starting = code === "57P03" || code === "ECONNREFUSED";
      if (starting && Date.now() < deadline) await delay(50);
      else
        throw new Error(`PostgreSQL at ${withoutPassword(url)} refuses the connection: ${message}`, {
          cause: error,
        });
    }
  }
}

function withoutPassword(text: string): string {
  const url = new URL(text);
  url.password = "";
  return url.href;
}

async function ensureDatabase(client: pg.Client, database: string): Promise<void> {
  const { rowCount } = await client.query("SELECT 1 FROM pg_database WHERE datname = $1", [database]);
  if (rowCount !== 0) return;
  await client
    .query(`CREATE DATABASE ${quoted(database)} TEMPLATE template0 ENCODING 'UTF8'`)
    .catch((error: unknown) => {
      // Two `berth up` at once: the other one made it.
      if ((error as { code?: string }).code !== "42P04") throw error;
    });
}

async function ensureRole(client: pg.Client, service: DatabaseService, password: string): Promise<void> {
  const role = quoted(roleOf(service));
  const { rowCount } = await client.query("SELECT 1 FROM pg_roles WHERE rolname = $1", [roleOf(service)]);
  if (rowCount === 0) await client.query(`CREATE ROLE ${role} LOGIN`);
  await client.query(`ALTER ROLE ${role} PASSWORD ${client.escapeLiteral(password)}`);
  // Needed to act as that role where the admin is no superuser (managed PostgreSQL).
  await client.query(`GRANT ${role} TO CURRENT_USER`);
  const { rows } = await client.query<{ name: string }>("SELECT current_database() AS name");
  await client.query(`GRANT CONNECT ON DATABASE ${quoted(rows[0]?.name ?? "")} TO ${role}`);
  await client.query(`REVOKE ALL ON DATABASE ${quoted(rows[0]?.name ?? "")} FROM PUBLIC`);
}

async function ensureSchema(client: pg.Client, service: DatabaseService): Promise<void> {
  await client.query(
    `CREATE SCHEMA IF NOT EXISTS ${quoted(service)} AUTHORIZATION ${quoted(roleOf(service))}`,
  );
}

/** Present and future tables of `service`, to every other service. */
async function grantReads(client: pg.Client, service: DatabaseService): Promise<void> {
  if (unread.has(service)) return;
  const readers = databaseServices
    .filter((other) => other !== service)
    .map((other) => quoted(roleOf(other)))
    .join(", ");
  const [schema, owner] = [quoted(service), quoted(roleOf(service))];
  await client.query(`GRANT USAGE ON SCHEMA ${schema} TO ${readers}`);
  await client.query(`GRANT SELECT ON ALL TABLES IN SCHEMA ${schema} TO ${readers}`);
  await client.query(
    `ALTER DEFAULT PRIVILEGES FOR ROLE ${owner} IN SCHEMA ${schema} GRANT SELECT ON TABLES TO ${readers}`,
  );
}

async function runMigrations(
  client: pg.Client,
  service: DatabaseService,
  options: MigrateOptions,
): Promise<number> {
  const done = await doneMigrations(client, service);
  let ran = 0;
  for (const { name, sql } of await readMigrations(join(options.servicesDir, service, "migrations"))) {
    const checksum = createHash("sha256").update(sql).digest("hex");
    const before = done.get(name);
    if (before === checksum) continue;
    if (before !== undefined) {
      throw new Error(
        `migration ${service}/${name} was changed after it ran here. Put its change into a new migration.`,
      );
    }
    await runOne(client, service, name, sql, checksum);
    ran += 1;
  }
  return ran;
}

async function doneMigrations(
  client: pg.Client,
  service: DatabaseService,
): Promise<ReadonlyMap<string, string>> {
  const table = `${quoted(service)}.migrations`;
  const columns = "name text PRIMARY KEY, checksum text NOT NULL, ran_at timestamptz NOT NULL DEFAULT now()";
  await client.query(`SET ROLE ${quoted(roleOf(service))}`);
  await client.query(`CREATE TABLE IF NOT EXISTS ${table} (${columns})`);
  const { rows } = await client.query<{ name: string; checksum: string }>(
    `SELECT name, checksum FROM ${table}`,
  );
  await client.query("RESET ROLE");
  return new Map(rows.map((row) => [row.name, row.checksum]));
}

async function runOne(
  client: pg.Client,
  service: DatabaseService,
  name: string,
  sql: string,
  checksum: string,
): Promise<void> {
  const schema = quoted(service);
  try {
    await client.query("BEGIN");
    await client.query(`SET LOCAL ROLE ${quoted(roleOf(service))}`);
    await client.query(`SET LOCAL search_path = ${schema}`);
    await client.query(sql);
    await client.query(`INSERT INTO ${schema}.migrations (name, checksum) VALUES ($1, $2)`, [name, checksum]);
    await client.query("COMMIT");
  } catch (cause) {
    await client.query("ROLLBACK").catch(() => undefined);
    const { message, position } = cause as { message: string; position?: string };
    const line = position === undefined ? "" : ` (line ${sql.slice(0, Number(position)).split("\n").length})`;
    throw new Error(`migration ${service}/${name}${line}: ${message}`, { cause });
  }
}

type Migration = { readonly name: string; readonly sql: string };

/** `0001-name.sql`, in order. A number that is there twice is refused: two people made it at the same time. */
async function readMigrations(dir: string): Promise<readonly Migration[]> {
  const names = (await readdir(dir).catch(() => [])).filter((name) => name.endsWith(".sql")).sort();
  assertMigrationNames(dir, names);
  return await Promise.all(
    names.map(async (name) => ({ name, sql: await readFile(join(dir, name), "utf8") })),
  );
}

export function assertMigrationNames(dir: string, names: readonly string[]): void {
  const numbers = new Set<string>();
  for (const name of names) {
    const number = /^(\d{4})-[a-z0-9-]+\.sql$/.exec(name)?.[1];
    if (number === undefined)
      throw new Error(`${join(dir, name)}: a migration is named like 0001-what-it-does.sql`);
    if (numbers.has(number)) throw new Error(`${dir}: two migrations have the number ${number}`);
    numbers.add(number);
  }
}

function quoted(identifier: string): string {
  return pg.escapeIdentifier(identifier);
}
