/** For tests: the scheduler's tables in a database of their own, on the PostgreSQL that BERTH_TEST_POSTGRES_URL names. */
import type { HostId, JobId } from "@berth/shared/domain/ids.ts";
import { connectDatabase, type Database } from "@berth/shared/kit/database.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { adminUrl, TestDatabase } from "@berth/shared/testing/test-database.ts";
import type pg from "pg";
import type { Tables } from "../outbound/tables.ts";

export { adminUrl };

export class TestRecord {
  readonly database: Database<Tables>;
  readonly #tables: TestDatabase;

  private constructor(tables: TestDatabase) {
    this.#tables = tables;
    this.database = connectDatabase<Tables>({ url: tables.url, schema: "scheduler", log: silentLog });
  }

  /** @param name a database of that name is made, and dropped by `close` */
  static async start(name: string): Promise<TestRecord> {
    return new TestRecord(await TestDatabase.start(name, ["api", "scheduler"]));
  }

  /** As the superuser: other services' tables too. */
  query(text: string, values: readonly unknown[] = []): Promise<void> {
    return this.asAdmin((client) => client.query(text, [...values]));
  }

  asAdmin(work: (client: pg.Client) => Promise<unknown>): Promise<void> {
    return this.#tables.asAdmin(work);
  }

  empty(): Promise<void> {
    return this.query(
      "truncate scheduler.jobs, scheduler.decisions, scheduler.hosts_seen, scheduler.leader, scheduler.alarms, scheduler.moves, scheduler.rebalances; delete from api.hosts",
    );
  }

  /** A job in slot web.1 of a service of its own id, last changed `seconds` ago. */
  async addJob(hostId: HostId, state: string, seconds: number): Promise<JobId> {
    const id = newId("job");
    await this.query(
      `insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, epoch, state, host_id, lease_expires_at, updated_at)
       values ($1, 'o', 'e', $1, 'r', 'd', 'web', 1, '{}', 1, $2, $3, now() - $4 * interval '1 second', now() - $4 * interval '1 second')`,
      [id, state, hostId, seconds],
    );
    return id;
  }

  async close(): Promise<void> {
    await this.database.close();
    await this.#tables.close();
  }
}
