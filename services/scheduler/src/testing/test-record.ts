/** For tests: the scheduler's tables in a database of their own, on the PostgreSQL that BERTH_TEST_POSTGRES_URL names. */
import { readdir, readFile } from "node:fs/promises";
import type { HostId, JobId } from "@berth/shared/domain/ids.ts";
import { connectDatabase, type Database } from "@berth/shared/kit/database.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import pg from "pg";
import type { Tables } from "../outbound/tables.ts";

export const adminUrl = process.env.BERTH_TEST_POSTGRES_URL;

export class TestRecord {
  readonly database: Database<Tables>;
  readonly #name: string;

  private constructor(name: string) {
    this.#name = name;
    const url = new URL(adminUrl ?? "");
    url.pathname = `/${name}`;
    this.database = connectDatabase<Tables>({ url: url.href, schema: "scheduler", log: silentLog });
  }

  /** @param name a database of that name is made, and dropped by `close` */
  static async start(name: string): Promise<TestRecord> {
    await withClient(null, (admin) => admin.query(`create database ${name}`));
    await withClient(name, createTables);
    return new TestRecord(name);
  }

  /** As the superuser: other services' tables too. */
  query(text: string, values: readonly unknown[] = []): Promise<void> {
    return this.asAdmin((client) => client.query(text, [...values]));
  }

  asAdmin(work: (client: pg.Client) => Promise<unknown>): Promise<void> {
    return withClient(this.#name, work);
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
    await withClient(null, (admin) => admin.query(`drop database ${this.#name} with (force)`));
  }
}

async function withClient(
  database: string | null,
  work: (client: pg.Client) => Promise<unknown>,
): Promise<void> {
  const url = new URL(adminUrl ?? "");
  if (database !== null) url.pathname = `/${database}`;
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

/** All but the overview of deploys, which also needs the tables of git and builder. */
async function createTables(client: pg.Client): Promise<void> {
  for (const schema of ["api", "scheduler"]) {
    const folder = new URL(`../../../${schema}/migrations/`, import.meta.url);
    await client.query(`create schema ${schema}; set search_path to ${schema}`);
    for (const file of (await readdir(folder)).sort()) {
      const text = await readFile(new URL(file, folder), "utf8");
      await client.query(text.replaceAll(/^create (?:or replace )?view deploy_overview[^;]*;/gim, ""));
    }
  }
}
