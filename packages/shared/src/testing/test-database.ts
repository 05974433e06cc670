/** For tests: a database of its own with the tables of some services, on the PostgreSQL that BERTH_TEST_POSTGRES_URL names. */
import { readdir, readFile } from "node:fs/promises";
import pg from "pg";

/** Of a user who may create databases; tests that need one are skipped without it. */
export const adminUrl = process.env.BERTH_TEST_POSTGRES_URL;

const services = new URL("../../../../services/", import.meta.url);

export class TestDatabase {
  readonly #name: string;

  private constructor(name: string) {
    this.#name = name;
  }

  /** @param schemas of these services, in the order in which they are made @param name dropped by `close` */
  static async start(name: string, schemas: readonly string[]): Promise<TestDatabase> {
    await withClient(adminUrl ?? "", (admin) => admin.query(`create database ${name}`));
    const made = new TestDatabase(name);
    await made.asAdmin((client) => createTables(client, schemas));
    return made;
  }

  get url(): string {
    const url = new URL(adminUrl ?? "");
    url.pathname = `/${this.#name}`;
    return url.href;
  }

  /** As the superuser: the tables of all services. */
  asAdmin(work: (client: pg.Client) => Promise<unknown>): Promise<void> {
    return withClient(this.url, work);
  }

  async close(): Promise<void> {
    await withClient(adminUrl ?? "", (admin) => admin.query(`drop database ${this.#name} with (force)`));
  }
}

async function withClient(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

/** All but the overview of deploys, which also needs the tables of git and builder. */
async function createTables(client: pg.Client, schemas: readonly string[]): Promise<void> {
  for (const schema of schemas) {
    const folder = new URL(`${schema}/migrations/`, services);
    await client.query(`create schema ${schema}; set search_path to ${schema}`);
    for (const file of (await readdir(folder)).sort()) {
      const text = await readFile(new URL(file, folder), "utf8");
      await client.query(text.replaceAll(/^create (?:or replace )?view deploy_overview[^;]*;/gim, ""));
    }
  }
}
