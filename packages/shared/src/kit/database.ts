/** PostgreSQL through kysely and pg: one pool per process, its errors handled, its statements bounded in time. */
import { Kysely, PostgresDialect, type RawBuilder, sql } from "kysely";
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
 * Begins a statement that PostgreSQL parses and plans once per connection from its first use on. Others are prepared by
 * their third use: planning a statement over many tables costs more than running it.
 */
export const PREPARED = sql.raw("/* prepared */ ");
/** All that a query answers as one value, as of one instant with the rest of its statement: what JSON has no type for is text. */
export const listed = (query: RawBuilder<unknown>): RawBuilder<unknown> =>
  sql`(select coalesce(jsonb_agg(to_jsonb(row)), '[]') from (${query}) as row)`;
/**
 * In a statement's `from`: its commit does not wait for the disk. For what a crash of the record may take, because whoever
 * said it says it again; a later commit that waits takes this one with it.
 */
export const UNSYNCED = sql.raw("(select set_config('synchronous_commit', 'off', true)) as unsynced");
const MARK = "/* prepared */";
/** One statement, and none that begins or ends a transaction. */
const ALONE = /^\s*(select|with|insert|update|delete)\b[^;]*$/i;
const PREPARED_AT_USE = 3;
/** Of one connection. What is used once with a text of its own must not be kept for ever. */
const MOST_PREPARED = 200;
const MOST_COUNTED = 1000;
const STALE_PLAN = "0A000";

class PreparingClient extends pg.Client {
  /** By text. */
  readonly #names = new Map<string, string>();
  readonly #uses = new Map<string, number>();
  #madeCount = 0;

  constructor(config?: string | pg.ClientConfig) {
    super(config);
    const plain = this.query.bind(this) as (...given: unknown[]) => unknown;
    const query = (text: unknown, values?: unknown, ...rest: unknown[]): unknown => {
      const name = typeof text === "string" ? this.#nameOf(text) : null;
      if (name === null) return plain(text, values, ...rest);
      const asked = plain({ name, text, values }, ...rest);
      if (asked instanceof Promise) asked.catch((error: unknown) => this.#forgetStale(text as string, error));
      return asked;
    };
    this.query = query as typeof this.query;
  }

  /** @returns null for a statement that is not prepared, or not yet */
  #nameOf(text: string): string | null {
    const known = this.#names.get(text);
    if (known !== undefined) return known;
    if (this.#names.size >= MOST_PREPARED || !(text.startsWith(MARK) || this.#isFrequent(text))) return null;
    this.#madeCount += 1;
    const name = `berth-${this.#madeCount}`;
    this.#names.set(text, name);
    this.#uses.delete(text);
    return name;
  }

  /** A migration changed what the statement answers: its plan is of no use any more, a new one is. */
  #forgetStale(text: string, error: unknown): void {
    if ((error as { code?: unknown }).code === STALE_PLAN) this.#names.delete(text);
  }

  #isFrequent(text: string): boolean {
    if (!ALONE.test(text)) return false;
    const uses = (this.#uses.get(text) ?? 0) + 1;
    if (uses === 1 && this.#uses.size >= MOST_COUNTED) this.#uses.clear();
    this.#uses.set(text, uses);
    return uses >= PREPARED_AT_USE;
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
