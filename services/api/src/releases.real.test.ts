/** Releases as a customer uses them: noted, given up, rolled back to, pruned; on a real PostgreSQL. */
import { KEPT_IMAGES } from "@berth/shared/contracts/http/api.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { pruneReleases } from "./outbound/kept-releases.ts";
import { ApiUnderTest, DIGEST } from "./testing/api-under-test.ts";

let api: ApiUnderTest;
let name = "";
let made = 0;
const call = (route: Parameters<ApiUnderTest["call"]>[0], given: { version?: number; body?: object } = {}) =>
  api.call(route, api.own.member, {
    params: { service: name, ...(given.version === undefined ? {} : { version: String(given.version) }) },
    body: given.body,
  });
const versions = async () =>
  ((await call("listReleases")).body as { releases: { version: number }[] }).releases.map(
    (one) => one.version,
  );
const digestOf = (n: number) => `sha256:${n.toString(16).padStart(64, "0")}`;

beforeAll(async () => {
  api = await ApiUnderTest.start();
}, 60_000);
afterAll(() => api?.close());
beforeEach(async () => {
  name = `app-${++made}`;
  await api.call("createService", api.own.member, { body: { name } });
});

describe("rollback", () => {
  test("without a version: the last one before the current whose deploy succeeded, as a new release", async () => {
    await api.release(name, "succeeded", digestOf(1));
    await api.release(name, "failed", digestOf(2));
    await api.release(name, "succeeded", digestOf(3));
    const reply = await call("rollbackService", { body: { variables: "keep" } });
    expect(reply).toMatchObject({ status: 200, body: { version: 4, from: 3, to: 1 } });
    const shown = await call("showRelease", { version: 4 });
    expect(shown.body).toMatchObject({
      cause: "rollback",
      current: true,
      serving: false,
      imageDigest: digestOf(1),
      description: "rollback to v1, with today's variables",
    });
    const { deployId } = reply.body as { deployId: string };
    const deploy = await api.call("showDeploy", api.own.member, { params: { deployId } });
    expect(deploy.body).toMatchObject({ deploy: { cause: "rollback", release: 4, state: "built" } });
  });

  test("sizes come back, counts stay", async () => {
    await api.release(name, "succeeded");
    const sized = { process: "web", scale: 3, memoryBytes: 64 * 1024 ** 2, healthPath: "/up" };
    await call("scaleService", { body: { processes: [sized] } });
    expect((await call("rollbackService", { body: { version: 1, variables: "keep" } })).status).toBe(200);
    expect((await call("showService")).body).toMatchObject({
      processes: [
        { process: "web", scale: 3, memoryBytes: 256 * 1024 ** 2, healthPath: null },
        { process: "worker", scale: 0 },
      ],
    });
  });

  test("variables are asked for first: without the secrets service nothing changes", async () => {
    await api.release(name, "succeeded");
    await api.release(name, "succeeded");
    expect((await call("rollbackService", { body: {} })).status).toBe(503);
    expect(await versions()).toEqual([2, 1]);
  });

  test("what cannot be rolled back to is refused with the reason", async () => {
    const message = async (body: object) =>
      ((await call("rollbackService", { body })).body as { message: string }).message;
    expect(await message({})).toContain("has no release yet");
    await api.release(name, "succeeded");
    expect(await message({})).toContain("no kept release before v1");
    expect(await message({ version: 1 })).toContain("v1 is the current release");
    expect(await message({ version: 9 })).toContain("release v9");
  });

  test("a build that was pushed before it makes no release afterwards", async () => {
    await api.release(name, "succeeded");
    await api.release(name, "succeeded");
    const [deployId, buildId] = ["dep_00000000000000000000000001", "bld_00000000000000000000000001"];
    await api.storePush(deployId, await api.serviceId(name), buildId);
    await call("rollbackService", { body: { variables: "keep" } });
    await api.finishBuild(buildId);
    await api.reconcile();
    expect(await versions()).toEqual([3, 2, 1]);
    const shown = await api.call("showDeploy", api.own.member, { params: { deployId } });
    expect(shown.body).toMatchObject({ deploy: { state: "superseded" } });
  });
});

describe("kept releases", () => {
  test("notes are kept; control characters are refused", async () => {
    await api.release(name, "succeeded");
    expect((await call("changeRelease", { version: 1, body: { notes: "good\nold" } })).status).toBe(200);
    expect((await call("showRelease", { version: 1 })).body).toMatchObject({ notes: "good\nold" });
    expect((await call("changeRelease", { version: 1, body: { notes: "\u001b[2J" } })).status).toBe(400);
  });

  test("neither the serving nor the current release can be given up; another is gone for rollbacks", async () => {
    await api.release(name, "succeeded");
    await api.release(name, "succeeded");
    await api.release(name, "failed");
    expect(await call("removeRelease", { version: 2 })).toMatchObject({ status: 409 });
    expect(await call("removeRelease", { version: 3 })).toMatchObject({ status: 409 });
    expect((await call("removeRelease", { version: 1 })).status).toBe(200);
    expect(await versions()).toEqual([3, 2]);
    expect((await call("rollbackService", { body: { version: 1, variables: "keep" } })).status).toBe(404);
  });

  test(`the last ${KEPT_IMAGES} images stay however often the same one was released, and what serves stays`, async () => {
    await api.release(name, "succeeded", digestOf(0));
    for (let n = 1; n <= KEPT_IMAGES; n++) await api.release(name, null, digestOf(n));
    await api.release(name, null, digestOf(KEPT_IMAGES));
    await pruneReleases(api.pod.db);
    expect((await versions()).at(-1)).toBe(1); // serving
    await api.release(name, "succeeded", digestOf(KEPT_IMAGES));
    await pruneReleases(api.pod.db);
    const kept = await versions();
    expect(kept.at(-1)).toBe(2);
    expect(kept).toHaveLength(KEPT_IMAGES + 2);
    await api.release(name, "succeeded", DIGEST);
    await pruneReleases(api.pod.db);
    expect((await versions()).at(-1)).toBe(3);
  });
});

describe("restart and redeploy", () => {
  test("a restart names what it replaces and makes no release", async () => {
    const releaseId = await api.release(name, "succeeded");
    const serviceId = await api.serviceId(name);
    await api.admin.query(
      "insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, state, created_at) values ($1,'o','e',$2,$3,'d','web',1,'{}','running', now() - interval '1 minute')",
      ["job_00000000000000000000000001", serviceId, releaseId],
    );
    const reply = await call("restartService", { body: { process: "web" } });
    expect(reply).toMatchObject({
      status: 200,
      body: { release: 1, instances: [{ process: "web", slot: 1 }] },
    });
    expect(await versions()).toEqual([1]);
    expect((await call("restartService", { body: { process: "clock" } })).status).toBe(404);
  });

  test("a redeploy is the current release again", async () => {
    expect((await call("redeployService")).status).toBe(409);
    await api.release(name, "failed", digestOf(5));
    expect(await call("redeployService")).toMatchObject({ status: 200, body: { version: 2 } });
    expect((await call("showRelease", { version: 2 })).body).toMatchObject({
      imageDigest: digestOf(5),
      description: "redeploy of v1",
    });
  });
});

describe("what the repository says", () => {
  const pushWith = async (config: object) => {
    const [deployId, buildId] = [newId("deploy"), newId("build")];
    await api.storePush(deployId, await api.serviceId(name), buildId);
    await api.admin.query("update builder.builds set app_config = $2 where id = $1", [buildId, config]);
    await api.finishBuild(buildId);
    await api.reconcile();
    return api.pod.db
      .selectFrom("releases")
      .select(["env", "process_settings"])
      .where("deploy_id", "=", deployId)
      .executeTakeFirstOrThrow();
  };

  test("is in the release, in the settings and in the policy; a count only at first", async () => {
    const web = {
      scale: 2,
      memoryBytes: 64 * 1024 ** 2,
      cpuMillis: 250,
      diskBytes: 512 * 1024 ** 2,
      healthPath: "/up",
      startDeadlineMs: 9000,
    };
    const first = await pushWith({
      processes: { web: { ...web, stopGraceMs: 1000, canary: 1, minReadyMs: 2000 } },
      placement: { apart: true, labels: { disk: "ssd" } },
      deploy: { progressDeadlineMs: 60_000 },
      sleep: { afterMs: 900_000, level: "frozen" },
      http: { sticky: true },
      env: { COLOUR: "blue" },
    });
    expect((await call("showServiceHttp")).body).toEqual({ http: { sticky: true }, acknowledged: false });
    expect(first).toMatchObject({ env: { COLOUR: "blue" } });
    const given = {
      process: "web",
      ...web,
      stopGraceMs: 1000,
      canary: 1,
      batch: null,
      minReadyMs: 2000,
      autoscale: null,
    };
    expect(first.process_settings).toContainEqual(given);
    expect((await call("showServicePolicy")).body).toMatchObject({
      policy: {
        ...{ apart: true, labels: { disk: "ssd" }, progressDeadlineMs: 60_000 },
        ...{ sleepAfterMs: 900_000, sleepLevel: "frozen" },
      },
    });
    await call("scaleService", { body: { processes: [{ process: "web", scale: 1 }] } });
    const second = await pushWith({ processes: { web: { scale: 5, memoryBytes: 128 * 1024 ** 2 } } });
    expect(second).toMatchObject({ env: {} });
    expect(second.process_settings).toContainEqual({
      ...given,
      ...{ scale: 1, memoryBytes: 128 * 1024 ** 2 },
    });
    await call("redeployService");
    await call("rollbackService", { body: { version: 1, variables: "keep" } });
    const rows = await api.pod.db
      .selectFrom("releases")
      .select(["env", "version"])
      .where("service_id", "=", await api.serviceId(name))
      .orderBy("version")
      .execute();
    expect(rows.map((row) => row.env)).toEqual([{ COLOUR: "blue" }, {}, {}, { COLOUR: "blue" }]);
  });
});
