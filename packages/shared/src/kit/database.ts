/** PostgreSQL through kysely and pg: one pool per process, its errors handled, its statements bounded in time. */
import { Kysely, PostgresDialect, sql } from "kysely";
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
    Client: PreparingClient,
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

/**
 * Begins a statement that PostgreSQL parses and plans once per connection: for frequent ones whose text never changes but
 * in their parameters.
 */
export const PREPARED = sql.raw("/* prepared */ ");
const MARK = "/* prepared */";

class PreparingClient extends pg.Client {
  /** By text; as many as there are such statements. */
  readonly #names = new Map<string, string>();

  constructor(config?: string | pg.ClientConfig) {
    super(config);
    const plain = this.query.bind(this) as (...given: unknown[]) => unknown;
    const query = (text: unknown, values?: unknown, ...rest: unknown[]): unknown =>
      typeof text === "string" && text.startsWith(MARK)
        ? plain({ name: this.#nameOf(text), text, values }, ...rest)
        : plain(text, values, ...rest);
    this.query = query as typeof this.query;
  }

  #nameOf(text: string): string {
    const known = this.#names.get(text) ?? `berth-${this.#names.size + 1}`;
    this.#names.set(text, known);
    return known;
  }
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
