/**
 * Tables made by several at once, on a real PostgreSQL: `BERTH_TEST_POSTGRES_URL` names one whose user may create
 * databases. The tables are those of the migrations of api, scheduler and network.
 */
import { newId } from "@berth/shared/kit/ids.ts";
import { adminUrl } from "@berth/shared/testing/test-database.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestPod, type TestPod, testKey, testPools } from "../testing/test-pod.ts";
import { readChanges, readTables, storeTables } from "./table-store.ts";

describe.skipIf(adminUrl === undefined)("tables of networks", () => {
  let pod: TestPod;
  beforeAll(async () => {
    pod = await startTestPod(`network_test_${process.pid}`);
  });
  afterAll(() => pod[Symbol.asyncDispose]());

  const addEnvironment = async (number: number): Promise<string> => {
    const id = newId("environment");
    const subnet = `10.128.${number * 32}.0/19`;
    await pod.database.db
      .insertInto("environments")
      .values({ environment_id: id, subnet, released_at: null })
      .execute();
    return id;
  };
  const addMember = async (environment_id: string, number: number, at: number): Promise<void> => {
    const member = { environment_id, host_id: pod.hosts[at] ?? "", public_key: testKey, left_at: null };
    const slice = `10.128.${number * 32 + at}.0/24`;
    await pod.database.db
      .insertInto("members")
      .values({ ...member, slice, port: 21_000 + number })
      .execute();
  };

  test("joins and rounds at once: each finds its own word in the tables, and no version is made twice", async () => {
    const { db } = pod.database;
    const versions: string[] = [];
    const told = ({ networks, mesh }: Awaited<ReturnType<typeof storeTables>>): void => {
      const ids = networks.map(({ environmentId, version }) => `${environmentId} ${version}`);
      if (mesh !== null) ids.push(`mesh ${mesh.version}`);
      for (const id of ids) expect(versions, "a version that two made").not.toContain(id);
      versions.push(...ids);
    };
    let isJoining = true;
    const rounds = (async () => {
      while (isJoining) told(await storeTables(db, testPools));
    })();
    const join = async (number: number): Promise<void> => {
      const id = await addEnvironment(number);
      for (const at of [0, 1]) {
        await addMember(id, number, at);
        const stored = await storeTables(db, testPools, { environments: [id], mesh: true });
        told(stored);
        const { networks, mesh } = stored.all;
        expect(networks).toHaveLength(1);
        expect(networks[0]?.members.map(({ hostId }) => hostId)).toContain(pod.hosts[at]);
        const own = mesh?.hosts.find(({ hostId }) => hostId === pod.hosts[at]);
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
    const again = await storeTables(db, testPools);
    expect(again).toMatchObject({ networks: [], mesh: null, againInMs: null });
    expect(new Set(again.all.networks)).toEqual(new Set(networks));
    expect(again.all.mesh).toEqual(mesh);
  });

  test("a round for one environment leaves the tables of the others alone", async () => {
    const { db } = pod.database;
    const [first, second] = [await addEnvironment(6), await addEnvironment(7)];
    await addMember(first, 6, 0);
    await addMember(second, 7, 0);
    const { networks } = await storeTables(db, testPools, { environments: [first], mesh: true });
    expect(networks.map(({ environmentId }) => environmentId)).toEqual([first]);
    expect((await readTables(db, [second])).networks).toEqual([]);
  });

  test("after a job changed, its environment and those that are linked to it are made anew", async () => {
    const { db } = pod.database;
    const [own, consumer, other] = [newId("environment"), newId("environment"), newId("environment")];
    await pod.tables.asAdmin(async (client) => {
      await client.query("insert into api.orgs (id, name) values ('o1', 'acme')");
      for (const [i, id] of [own, consumer, other].entries())
        await client.query("insert into api.environments (id, org_id, name) values ($1, 'o1', $2)", [
          id,
          `e${i}`,
        ]);
      await client.query(
        `insert into api.services (id, org_id, environment_id, name, hostname_label, policy) values ('s1', 'o1', $1, 'ledger', 'ledger', '{}')`,
        [own],
      );
      await client.query(
        "insert into api.link_offers (service_id, port, to_org, to_environment, to_environment_id) values ('s1', 80, 'acme', 'e1', $1)",
        [consumer],
      );
      await client.query(
        "insert into api.link_accepts (environment_id, from_org, from_environment, from_service, port, from_service_id) values ($1, 'acme', 'e0', 'ledger', 80, 's1')",
        [consumer],
      );
    });
    const long = new Date(Date.now() - 3_600_000);
    expect((await readChanges(db, long)).environments).toEqual([]);
    await pod.tables.asAdmin((client) =>
      client.query(
        `insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, epoch, state, host_id)
         values ('j1', 'o1', $1, 's1', 'r', 'd', 'web', 1, '{}', 1, 'running', $2)`,
        [own, pod.hosts[0]],
      ),
    );
    expect(new Set((await readChanges(db, long)).environments)).toEqual(new Set([own, consumer]));
    expect((await readChanges(db, new Date(Date.now() + 60_000))).environments).toEqual([]);
  });
});
