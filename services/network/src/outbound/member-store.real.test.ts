/** Joins on a real PostgreSQL: who is let in, and which subnet, slice and port it gets. */
import type { EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { adminUrl } from "@berth/shared/testing/test-database.ts";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestPod, type TestPod, testKey, testPools } from "../testing/test-pod.ts";
import { joinNetwork, leaveNetwork } from "./member-store.ts";

const pools = { ...testPools, podCidr: "10.128.0.0/18", portsCount: 2 };

describe.skipIf(adminUrl === undefined)("joins", () => {
  let pod: TestPod;
  const environments = [newId("environment"), newId("environment"), newId("environment")] as EnvironmentId[];

  beforeAll(async () => {
    pod = await startTestPod(`members_test_${process.pid}`);
    await pod.tables.asAdmin(async (client) => {
      const org = newId("org");
      await client.query("insert into api.orgs (id, name) values ($1, 'acme')", [org]);
      for (const [i, environment] of environments.entries()) {
        await client.query("insert into api.environments (id, org_id, name) values ($1, $2, $3)", [
          ...[environment, org, `e${i}`],
        ]);
        for (const host of pod.hosts)
          await client.query(
            `insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, epoch, state, host_id)
             values ($1, $2, $3, $1, 'r', 'd', 'web', 1, '{}', 1, 'accepted', $4)`,
            [newId("job"), org, environment, host],
          );
      }
    });
  });
  beforeEach(() => pod.tables.asAdmin((client) => client.query("truncate network.environments cascade")));
  afterAll(() => pod[Symbol.asyncDispose]());

  const join = (environment: number, host: number, busyPorts: readonly number[] = []) =>
    joinNetwork(
      pod.database.db,
      {
        ...{ hostId: pod.hosts[host] as HostId, environmentId: environments[environment] as EnvironmentId },
        ...{ publicKey: testKey, keyGeneration: 0, busyPorts },
      },
      pools,
    );
  const members = async () =>
    (await pod.database.db.selectFrom("members").selectAll().execute())
      .map(({ environment_id, host_id, slice, port }) =>
        [
          environments.indexOf(environment_id as EnvironmentId),
          pod.hosts.indexOf(host_id as HostId),
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
    await leaveNetwork(pod.database.db, {
      hostId: pod.hosts[0],
      environmentId: environments[0] as EnvironmentId,
    });
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
    await pod.tables.asAdmin((client) =>
      client.query("update scheduler.jobs set state = 'finished' where host_id = $1", [pod.hosts[1]]),
    );
    expect(await join(1, 1)).toMatchObject({ reason: expect.stringMatching(/no job of the environment/) });
    expect(await members()).toHaveLength(2);
  });
});
