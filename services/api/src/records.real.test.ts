/** Releases, deploys, hosts: what the api makes of its tables and of others', on a real PostgreSQL. */
import { ErrorBody } from "@berth/shared/contracts/errors.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { allRoutes } from "./inbound/http/routes.ts";
import { readTrace, storeSpans } from "./outbound/span-store.ts";
import { ApiUnderTest, COMMIT, DIGEST, sampleBody } from "./testing/api-under-test.ts";

let api: ApiUnderTest;
const call: ApiUnderTest["call"] = (...given) => api.call(...given);

beforeAll(async () => {
  api = await ApiUnderTest.start();
}, 60_000);

afterAll(() => api?.close());

describe("releases", () => {
  test("a build becomes a release once; only web starts by itself", async () => {
    await call("createService", api.own.member, { body: { name: "blog" } });
    const service = await api.serviceId("blog");
    const [deploy, build] = [newId("deploy"), newId("build")];
    await api.storePush(deploy, service, build);
    await api.finishBuild(build);
    await Promise.all([api.reconcile(), api.reconcile()]);
    await api.reconcile();
    const releases = (await call("listReleases", api.own.member, { params: { service: "blog" } })).body as {
      releases: { version: number; current: boolean }[];
    };
    expect(releases.releases).toMatchObject([{ version: 1, current: true }]);
    const shown = (await call("showService", api.own.member, { params: { service: "blog" } })).body as {
      processes: { process: string; scale: number }[];
    };
    expect(shown.processes).toMatchObject([
      { process: "web", scale: 1 },
      { process: "worker", scale: 0 },
    ]);
    const facts = await api.admin.query(
      "select count(*)::int as n from api.outbox where event = 'ReleaseCreated' and payload->>'deployId' = $1",
      [deploy],
    );
    expect(facts.rows[0].n).toBe(1);
  });

  test("a later push wins, also when its build ends first", async () => {
    const service = await api.serviceId("blog");
    const older = { deploy: newId("deploy"), build: newId("build") };
    const newer = { deploy: newId("deploy"), build: newId("build") };
    await api.storePush(older.deploy, service, older.build, new Date(Date.now() + 1000));
    await api.storePush(newer.deploy, service, newer.build, new Date(Date.now() + 2000));
    await api.finishBuild(newer.build);
    await api.reconcile();
    await api.finishBuild(older.build);
    await api.reconcile();
    const current = await api.pod.db
      .selectFrom("services as s")
      .innerJoin("releases as r", "r.id", "s.current_release_id")
      .select("r.deploy_id")
      .where("s.id", "=", service)
      .executeTakeFirstOrThrow();
    expect(current.deploy_id).toBe(newer.deploy);
    const shown = (await call("showDeploy", api.own.member, { params: { deployId: older.deploy } })).body as {
      deploy: { state: string; final: boolean };
    };
    expect(shown.deploy).toMatchObject({ state: "superseded", final: true });
  });

  test("a cancelled deploy's build makes no release; cancelling twice is fine", async () => {
    const service = await api.serviceId("blog");
    const [deploy, build] = [newId("deploy"), newId("build")];
    await api.storePush(deploy, service, build, new Date(Date.now() + 3000));
    expect((await call("cancelDeploy", api.own.member, { params: { deployId: deploy } })).status).toBe(200);
    expect((await call("cancelDeploy", api.own.member, { params: { deployId: deploy } })).status).toBe(200);
    await api.finishBuild(build);
    await api.reconcile();
    expect(
      await api.pod.db.selectFrom("releases").select("id").where("deploy_id", "=", deploy).execute(),
    ).toEqual([]);
  });

  test("a count changes no release; a size makes one with the same image", async () => {
    const scale = (process: object) =>
      call("scaleService", api.own.member, { params: { service: "blog" }, body: { processes: [process] } });
    expect((await scale({ process: "web", scale: 3 })).body).toMatchObject({
      deployId: null,
      processes: [{ process: "web", scale: 3 }, { process: "worker" }],
    });
    const sized = (await scale({ process: "web", memoryBytes: 512 * 1024 ** 2 })).body as {
      deployId: string;
    };
    expect(sized.deployId).toMatch(/^dep_/);
    const rows = await api.pod.db
      .selectFrom("releases")
      .select(["cause", "image_digest"])
      .where("service_id", "=", await api.serviceId("blog"))
      .orderBy("version", "desc")
      .execute();
    expect(rows[0]).toMatchObject({ cause: "scale", image_digest: DIGEST });
    expect((await scale({ process: "clock", scale: 1 })).status).toBe(404);
  });

  test("two scales at once give two versions", async () => {
    const scale = (mib: number) =>
      call("scaleService", api.own.member, {
        params: { service: "blog" },
        body: { processes: [{ process: "web", memoryBytes: mib * 1024 ** 2 }] },
      });
    const replies = await Promise.all([scale(300), scale(301), scale(302)]);
    expect(replies.map((reply) => reply.status)).toEqual([200, 200, 200]);
  });

  test("variables need the secrets service: 503, and nothing changed", async () => {
    const reply = await call("changeVars", api.own.member, {
      params: { service: "blog" },
      body: { set: { A: "1" } },
    });
    expect([reply.status, ErrorBody.parse(reply.body).code]).toEqual([503, "unavailable"]);
  });
});

describe("deploys", () => {
  test("the timeline covers what the stages explain, and the trace is found", async () => {
    const traceId = "ab".repeat(16);
    const startMs = Date.now() - 10_000;
    const stages = (from: number, to: number, name: string) =>
      JSON.stringify([{ name, startedAtMs: startMs + from, endedAtMs: startMs + to }]);
    await api.admin.query(
      "update git.pushes set stages = $2, created_at = $3, traceparent = $4 where deploy_id = $1",
      [
        api.ids.deployId,
        stages(0, 1000, "receive"),
        new Date(startMs + 1000),
        `00-${traceId}-${"cd".repeat(8)}-01`,
      ],
    );
    await api.admin.query("update builder.builds set stages = $2 where deploy_id = $1", [
      api.ids.deployId,
      stages(1000, 3000, "build"),
    ]);
    await api.admin.query(
      "insert into router.first_responses (deploy_id, service_id, hostname, host_id, status, started_at_ms, ended_at_ms) values ($1, $2, 'h', 'x', 200, $3, $4)",
      [api.ids.deployId, await api.serviceId("shop"), startMs + 3500, startMs + 4000],
    );
    const span = {
      traceId,
      spanId: "cd".repeat(8),
      parentSpanId: null,
      service: "git",
      name: "push",
      startedAtMs: startMs,
      endedAtMs: startMs + 1000,
      status: "ok" as const,
      attributes: { commit: COMMIT },
    };
    await storeSpans(api.pod.db, [span, span]);
    expect(await readTrace(api.pod.db, traceId)).toEqual([span]);
    const shown = (await call("showDeploy", api.own.member)).body as {
      timeline: { wallMs: number; coveredShare: number; stages: unknown[] };
      spans: unknown[];
      traceId: string;
    };
    expect(shown.timeline.wallMs).toBeCloseTo(4000, -1);
    expect(shown.timeline.coveredShare).toBeCloseTo(3500 / 4000, 2);
    expect(shown.spans).toHaveLength(1);
    expect(shown.traceId).toBe(traceId);
  });

  test("watch of an ended deploy gives the log and the end", async () => {
    const [deploy, build] = [newId("deploy"), newId("build")];
    await api.storePush(deploy, await api.serviceId("shop"), build);
    await api.admin.query(
      "update builder.builds set state='failed', finished_at=now(), started_at=now(), reason_code='no-buildpack', reason='nothing known', log=$2 where id=$1",
      [build, "one\ntwo\n"],
    );
    const reply = await api.pod.app.inject({
      url: `/v1/deploys/${deploy}/events`,
      headers: { authorization: `Bearer ${api.own.member}` },
    });
    const events = reply.body
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events).toMatchObject([
      { type: "output", lines: ["one", "two"] },
      {
        type: "finished",
        deploy: { state: "failed", reasonCode: "no-buildpack" },
        firstResponseStatus: null,
      },
    ]);
  });
});

describe("hosts", () => {
  const joinBody = (token: string, name: string) => ({ ...sampleBody("joinHost"), token, name });
  const newToken = async () =>
    ((await call("createJoinToken", api.own.owner, { body: {} })).body as { token: string }).token;

  test("a token lets one host in, once", async () => {
    const token = await newToken();
    const replies = await Promise.all([
      call("joinHost", null, { body: joinBody(token, "h-a") }),
      call("joinHost", null, { body: joinBody(token, "h-b") }),
    ]);
    expect(replies.map((reply) => reply.status).toSorted()).toEqual([200, 401]);
    expect((await call("joinHost", null, { body: joinBody(token, "h-c") })).status).toBe(401);
  });

  test("a taken name leaves the token unused", async () => {
    const taken = (await api.pod.db.selectFrom("hosts").select("name").executeTakeFirstOrThrow()).name;
    const token = await newToken();
    expect((await call("joinHost", null, { body: joinBody(token, taken) })).status).toBe(409);
    expect((await call("joinHost", null, { body: joinBody(token, "h-d") })).status).toBe(200);
  });

  test("joins at the same moment get different subnets", async () => {
    const tokens = await Promise.all(Array.from({ length: 6 }, newToken));
    const replies = await Promise.all(
      tokens.map((token, i) => call("joinHost", null, { body: joinBody(token, `many-${i}`) })),
    );
    const subnets = replies.map((reply) => (reply.body as { subnet: string }).subnet);
    expect(replies.map((reply) => reply.status)).toEqual(Array(6).fill(200));
    expect(new Set(subnets).size).toBe(6);
    const listed = (await call("listHosts", api.own.owner)).body as { hosts: { state: string }[] };
    expect(listed.hosts.length).toBeGreaterThanOrEqual(8);
  });
});

describe("what operators say of a host", () => {
  const change = (body: object) => call("changeHost", api.own.owner, { params: { host: "quay" }, body });

  test("cordon, drain, labels and dedication are kept and shown", async () => {
    await api.storeHost("quay", "10.209.1.0/24");
    expect((await change({ cordoned: true, labels: { disk: "ssd", rack: "7" } })).status).toBe(200);
    const reply = await change({ draining: true, labels: { rack: null }, dedicatedTo: "acme" });
    const policy = { cordoned: true, draining: true, labels: { disk: "ssd" }, dedicatedTo: "acme" };
    expect(reply.body).toMatchObject({ name: "quay", ...policy });
    expect((await change({ dedicatedTo: "nobody" })).status).toBe(404);
    expect((await change({ labels: { "Bad Name": "x" } })).status).toBe(400);
  });

  test("a host with jobs is not forgotten, but for a lost one by force", async () => {
    const { id } = await api.pod.db
      .selectFrom("hosts")
      .select("id")
      .where("name", "=", "quay")
      .executeTakeFirstOrThrow();
    const service = await api.serviceId("shop");
    await api.admin.query(
      "insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, state, host_id) values ('job_q','o','e',$1,'r','d','web',1,'{}','running',$2)",
      [service, id],
    );
    const remove = (force: string) =>
      call("removeHost", api.own.owner, { params: { host: "quay" }, query: { force } });
    const refused = await remove("1");
    expect(refused).toMatchObject({ status: 409, body: { message: expect.stringContaining("1 job") } });
    await api.admin.query(
      "insert into scheduler.hosts_seen (host_id, state, last_heartbeat_at, boot_id, heartbeat) values ($1,'lost',now(),'b','{}')",
      [id],
    );
    expect((await remove("0")).status).toBe(409);
    expect((await remove("1")).status).toBe(200);
    expect((await remove("1")).status).toBe(404);
  });
});

describe("pages and the end", () => {
  test("OpenAPI names every route, docs are readable without scripts", async () => {
    const openApi = (await api.pod.app.inject({ url: "/openapi.json" })).json() as {
      openapi: string;
      paths: Record<string, object>;
    };
    expect(openApi.openapi).toBe("3.1.0");
    const listed = Object.entries(openApi.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method} ${path}`),
    );
    for (const [, route] of allRoutes())
      expect(listed).toContain(`${route.method.toLowerCase()} ${route.path.replace(/:(\w+)/g, "{$1}")}`);
    const docs = await api.pod.app.inject({ url: "/docs" });
    expect(docs.body).toContain("Make a service");
    expect(docs.body).not.toContain("<script");
    expect((await api.pod.app.inject({ url: "/readyz" })).statusCode).toBe(503);
  });

  test("removing a service hides it and frees its name", async () => {
    expect((await call("removeService", api.own.owner)).status).toBe(200);
    expect((await call("showService", api.own.owner)).status).toBe(404);
    expect((await call("createService", api.own.member, { body: { name: "shop" } })).status).toBe(200);
  });

  test("without the database: 503, never a success", async () => {
    await api.pod.stopPostgres();
    const reply = await call("createOrg", api.own.owner, { body: { name: "late" } });
    expect([reply.status, ErrorBody.parse(reply.body).code]).toEqual([503, "unavailable"]);
  }, 20_000);
});
