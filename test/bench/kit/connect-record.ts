/** The record of a lab's pod, as the scheduler's user sees it, which reads what it needs of others. */
import { readProcesses } from "@berth/infra/supervisor/process-spec.ts";
import pg from "pg";

export async function connectRecord(runDir: string, queryTimeoutMs = 5000): Promise<pg.Pool> {
  const scheduler = (await readProcesses(runDir)).find(({ name }) => name === "scheduler");
  const connectionString = scheduler?.env.BERTH_DATABASE_URL;
  if (connectionString === undefined) throw new Error(`${runDir} has no scheduler with a database`);
  const timeouts = { connectionTimeoutMillis: queryTimeoutMs, query_timeout: queryTimeoutMs };
  const pool = new pg.Pool({ connectionString, max: 2, ...timeouts });
  // Of idle connections, such as when the lab goes first: the next query says what is wrong.
  pool.on("error", () => undefined);
  return pool;
}
