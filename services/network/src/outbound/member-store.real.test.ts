/** Joins on a real PostgreSQL: who is let in, and which subnet, slice and port it gets. */
import type { EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";
import { connectDatabase, type Database } from "@berth/shared/kit/database.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { adminUrl, TestDatabase } from "@berth/shared/testing/test-database.ts";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { joinNetwork, leaveNetwork } from "./member-store.ts";
import type { NetworkTables } from "./tables.ts";

const pools = {
  ...{ podCidr: "10.128.0.0/18", hostCidr: "10.127.0.0/16", environmentBits: 19, sliceBits: 24 },
  ...{ firstPort: 21_000, portsCount: 2 },
};
const key = `${"A".repeat(43)}=`;

describe.skipIf(adminUrl === undefined)("joins", () => {
  let tables: TestDatabase;
  let database: Database<NetworkTables>;
  const hosts = [newId("host"), newId("host")] as [HostId, HostId];
  const environments = [newId("environment"), newId("environment"), newId("environment")] as EnvironmentId[];

  beforeAll(async () => {
    tables = await TestDatabase.start(`members_test_${process.pid}`, ["api", "scheduler", "network"]);
    database = connectDatabase<NetworkTables>({ url: tables.url, schema: "network", log: silentLog });
    await tables.asAdmin(async (client) => {
      for (const [i, host] of hosts.entries())
        await client.query(
          `insert into api.hosts (id, name, node_address, subnet, agent_key, logshipper_key, curve_key)
           values ($1, $2, $3, $4, 'a', 'l', 'c')`,
          [host, `h${i + 1}`, `10.0.0.${i + 1}`, `10.127.${i}.0/24`],
        );
      const org = newId("org");
      await client.query("insert into api.orgs (id, name) values ($1, 'acme')", [org]);
      for (const [i, environment] of environments.entries()) {
        await client.query("insert into api.environments (id, org_id, name) values ($1, $2, $3)", [
          ...[environment, org, `e${i}`],
        ]);
        for (const host of hosts)
          await client.query(
            `insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, epoch, state, host_id)
             values ($1, $2, $3, $1, 'r', 'd', 'web', 1, '{}', 1, 'accepted', $4)`,
            [newId("job"), org, environment, host],
          );
      }
    });
  });
  beforeEach(() => tables.asAdmin((client) => client.query("truncate network.environments cascade")));
  afterAll(async () => {
    await database.close();
    await tables.close();
  });

  const join = (environment: number, host: number, busyPorts: readonly number[] = []) =>
    joinNetwork(
      database.db,
      {
        ...{ hostId: hosts[host] as HostId, environmentId: environments[environment] as EnvironmentId },
        ...{ publicKey: key, keyGeneration: 0, busyPorts },
      },
      pools,
    );
  const members = async () =>
    (await database.db.selectFrom("members").selectAll().execute())
      .map(({ environment_id, host_id, slice, port }) =>
        [
          environments.indexOf(environment_id as EnvironmentId),
          hosts.indexOf(host_id as HostId),
          slice,
          port,
        ].join(" "),
      )
      .toSorted();

  test("each gets the lowest that is free: subnet of the environment, slice and port of the host", async () => {
    for (const [environment, host] of [
      [0, 0],
      [0, 1],
      [1, 0],
    ] as const)
      expect(await join(environment, host)).toEqual({ kind: "joined" });
    expect(await members()).toEqual([
      "0 0 10.128.0.0/24 21000",
      "0 1 10.128.1.0/24 21000",
      "1 0 10.128.32.0/24 21001",
    ]);
  });

  test("all at once get different ones", async () => {
    const joined = await Promise.all([join(0, 0), join(0, 1), join(1, 0), join(1, 1)]);
    expect(new Set(joined.map(({ kind }) => kind))).toEqual(new Set(["joined"]));
    const all = (await members()).map((line) => line.split(" "));
    expect(new Set(all.map(([, , slice]) => slice)).size).toBe(4);
    expect(new Set(all.map(([, host, , port]) => `${host} ${port}`)).size).toBe(4);
  });

  test("who left and comes again has what it had, but for a port that is busy", async () => {
    await join(0, 0);
    await join(0, 1);
    await leaveNetwork(database.db, { hostId: hosts[0], environmentId: environments[0] as EnvironmentId });
    await join(0, 0);
    expect((await members())[0]).toBe("0 0 10.128.0.0/24 21000");
    await join(0, 0, [21_000]);
    expect((await members())[0]).toBe("0 0 10.128.0.0/24 21001");
  });

  test("no subnet or no port is left, or the record knows of no job: refused, and nothing is stored", async () => {
    await join(0, 0);
    await join(1, 0);
    expect(await join(2, 1)).toMatchObject({
      kind: "refused",
      reason: expect.stringMatching(/subnets of 10\.128/),
    });
    expect(await join(0, 1, [21_000, 21_001])).toMatchObject({
      reason: expect.stringMatching(/no UDP port/),
    });
    await tables.asAdmin((client) =>
      client.query("update scheduler.jobs set state = 'finished' where host_id = $1", [hosts[1]]),
    );
    expect(await join(1, 1)).toMatchObject({ reason: expect.stringMatching(/no job of the environment/) });
    expect(await members()).toHaveLength(2);
  });
});
