/** Before all real tests: a PostgreSQL for those that only want one, unless BERTH_TEST_POSTGRES_URL names one. */
import { startThrowawayPostgres } from "@berth/infra/testing/throwaway-postgres.ts";

export async function setup(): Promise<(() => Promise<void>) | undefined> {
  if (process.env.BERTH_TEST_POSTGRES_URL !== undefined) return undefined;
  const postgres = await startThrowawayPostgres();
  process.env.BERTH_TEST_POSTGRES_URL = postgres.adminUrl;
  return () => postgres.close();
}
