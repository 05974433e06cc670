/**
 * Tables made by several at once, on a real PostgreSQL: `BERTH_TEST_POSTGRES_URL` names one whose user may create
 * databases. The tables are those of the migrations of api, scheduler and network.
 */
import { connectDatabase, type Database } from "@berth/shared/kit/database.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { adminUrl, TestDatabase } from "@berth/shared/testing/test-database.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readTables, storeTables } from "./table-store.ts";
import type { NetworkTables } from "./tables.ts";

const pools = {
  ...{ podCidr: "10.128.0.0/10", hostCidr: "10.127.0.0/16", environmentBits: 19, sliceBits: 24 },
  ...{ firstPort: 21_000, portsCount: 2000 },
};
const key = `${"A".repeat(43)}=`;

describe.skipIf(adminUrl === undefined)("tables of networks", () => {
  let tables: TestDatabase;
  let database: Database<NetworkTables>;
  const hosts = [newId("host"), newId("host")];

  beforeAll(async () => {
    tables = await TestDatabase.start(`network_test_${process.pid}`, ["api", "scheduler", "network"]);
    database = connectDatabase<NetworkTables>({ url: tables.url, schema: "network", log: silentLog });
    await tables.asAdmin(async (client) => {
      for (const [i, host] of hosts.entries())
        await client.query(
          `insert into api.hosts (id, name, node_address, subnet, agent_key, logshipper_key, curve_key)
           values ($1, $2, $3, $4, 'a', 'l', 'c')`,
          [host, `h${i + 1}`, `10.0.0.${i + 1}`, `10.127.${i}.0/24`],
        );
    });
  });
  afterAll(async () => {
    await database.close();
    await tables.close();
  });

  const addEnvironment = async (number: number): Promise<string> => {
    const id = newId("environment");
    const subnet = `10.128.${number * 32}.0/19`;
    await database.db
      .insertInto("environments")
      .values({ environment_id: id, subnet, released_at: null })
      .execute();
    return id;
  };
  const addMember = async (environment_id: string, number: number, at: number): Promise<void> => {
    const member = { environment_id, host_id: hosts[at] ?? "", public_key: key, left_at: null };
    const slice = `10.128.${number * 32 + at}.0/24`;
    await database.db
      .insertInto("members")
      .values({ ...member, slice, port: 21_000 + number })
      .execute();
  };

  test("joins and rounds at once: each finds its own word in the tables, and no version is made twice", async () => {
    const { db } = database;
    const versions: string[] = [];
    const told = ({ networks, mesh }: Awaited<ReturnType<typeof storeTables>>): void => {
      const ids = networks.map(({ environmentId, version }) => `${environmentId} ${version}`);
      if (mesh !== null) ids.push(`mesh ${mesh.version}`);
      for (const id of ids) expect(versions, "a version that two made").not.toContain(id);
      versions.push(...ids);
    };
    let isJoining = true;
    const rounds = (async () => {
      while (isJoining) told(await storeTables(db, pools));
    })();
    const join = async (number: number): Promise<void> => {
      const id = await addEnvironment(number);
      for (const at of [0, 1]) {
        await addMember(id, number, at);
        const stored = await storeTables(db, pools, id);
        told(stored);
        const { networks, mesh } = stored.all;
        expect(networks).toHaveLength(1);
        expect(networks[0]?.members.map(({ hostId }) => hostId)).toContain(hosts[at]);
        const own = mesh?.hosts.find(({ hostId }) => hostId === hosts[at]);
        expect(own?.slices).toContain(`10.128.${number * 32 + at}.0/24`);
      }
    };
    await Promise.all([0, 1, 2, 3, 4, 5].map(join)).finally(() => {
      isJoining = false;
    });
    await rounds;
    const { networks, mesh } = await readTables(db);
    expect(networks).toHaveLength(6);
    for (const network of networks) expect(network.members).toHaveLength(2);
    expect(mesh?.hosts.map(({ slices }) => slices.length)).toEqual([6, 6]);
    const again = await storeTables(db, pools);
    expect(again).toMatchObject({ networks: [], mesh: null, againInMs: null });
    expect(new Set(again.all.networks)).toEqual(new Set(networks));
    expect(again.all.mesh).toEqual(mesh);
  });

  test("a round for one environment leaves the tables of the others alone", async () => {
    const { db } = database;
    const [first, second] = [await addEnvironment(6), await addEnvironment(7)];
    await addMember(first, 6, 0);
    await addMember(second, 7, 0);
    const { networks } = await storeTables(db, pools, first);
    expect(networks.map(({ environmentId }) => environmentId)).toEqual([first]);
    expect((await readTables(db, [second])).networks).toEqual([]);
  });
});
