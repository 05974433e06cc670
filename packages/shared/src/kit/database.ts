/** PostgreSQL through kysely and pg: one pool per process, its errors handled, its statements bounded in time. */
import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import type { Log } from "./log.ts";
import { describeError } from "./log.ts";

// bigint columns hold bytes and counts far below 2^53: numbers, not strings.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

export interface Database<Tables> {
  readonly db: Kysely<Tables>;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly url: string;
  /** The service's own schema; unqualified names resolve to it. */
  readonly schema: string;
  readonly log: Log;
  readonly poolSize?: number;
  readonly statementTimeoutMs?: number;
}

export function connectDatabase<Tables>(options: DatabaseOptions): Database<Tables> {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.poolSize ?? 8,
    connectionTimeoutMillis: 5000,
    idleTimeoutMillis: 60_000,
    statement_timeout: options.statementTimeoutMs ?? 15_000,
    idle_in_transaction_session_timeout: 15_000,
    application_name: `berth-${options.schema}`,
    options: `-c search_path=${options.schema}`,
    keepAlive: true,
  });
  // Without a listener a lost idle connection would end the process.
  pool.on("error", (error) =>
    options.log.warn("database.idle-connection-lost", { error: describeError(error) }),
  );
  pool.on("connect", (client) => {
    client.on("error", (error) =>
      options.log.warn("database.connection-lost", { error: describeError(error) }),
    );
  });
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  return { db, close: () => db.destroy() };
}

const TRANSIENT = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "ENOENT",
  "57P01",
  "57P02",
  "57P03",
  "53300",
  "08000",
  "08003",
  "08006",
  "40001",
  "40P01",
  "25006",
  "57014",
]);

/** True when the database is away, busy or asks for another try: the caller answers 503 or tries again. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = (error as { code?: unknown }).code;
  if (typeof code === "string" && TRANSIENT.has(code)) return true;
  return /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error/.test(
    error.message,
  );
}
