/** A record on a real PostgreSQL for tests: the tables of api, scheduler and network, and two hosts that have joined. */
import type { HostId } from "@berth/shared/domain/ids.ts";
import { connectDatabase, type Database } from "@berth/shared/kit/database.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { TestDatabase } from "@berth/shared/testing/test-database.ts";
import type { Pools } from "../core/place-member.ts";
import type { NetworkTables } from "../outbound/tables.ts";

export const testPools: Pools = {
  ...{ podCidr: "10.128.0.0/10", hostCidr: "10.127.0.0/16", environmentBits: 19, sliceBits: 24 },
  ...{ firstPort: 21_000, portsCount: 2000 },
};
export const testKey = `${"A".repeat(43)}=`;

export interface TestPod extends AsyncDisposable {
  readonly database: Database<NetworkTables>;
  readonly tables: TestDatabase;
  readonly hosts: readonly [HostId, HostId];
}

/** @param name of the database, unique on its server */
export async function startTestPod(name: string): Promise<TestPod> {
  const tables = await TestDatabase.start(name, ["api", "scheduler", "network"]);
  const database = connectDatabase<NetworkTables>({ url: tables.url, schema: "network", log: silentLog });
  const hosts = [newId("host"), newId("host")] as const;
  await tables.asAdmin(async (client) => {
    for (const [i, host] of hosts.entries())
      await client.query(
        `insert into api.hosts (id, name, node_address, subnet, agent_key, logshipper_key, curve_key)
         values ($1, $2, $3, $4, 'a', 'l', 'c')`,
        [host, `h${i + 1}`, `10.0.0.${i + 1}`, `10.127.${i}.0/24`],
      );
  });
  return {
    ...{ database, tables, hosts },
    [Symbol.asyncDispose]: async () => {
      await database.close();
      await tables.close();
    },
  };
}
