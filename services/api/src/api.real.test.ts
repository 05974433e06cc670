/**
 * The api on a real PostgreSQL. The authorization matrix is generated from the contract's routes: a new route is
 * tested without anyone writing a line here.
 */
import { ErrorBody } from "@berth/shared/contracts/errors.ts";
import type { HttpRoute } from "@berth/shared/contracts/http/route.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { createCurve, createUser } from "@nats-io/nkeys";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RouteName } from "./inbound/http/routes.ts";
import { AUTHORIZATION, allRoutes } from "./inbound/http/routes.ts";
import { reconcileReleases } from "./inbound/reconcile-releases.ts";
import { readTrace, storeSpans } from "./outbound/span-store.ts";
import type { PodFixture } from "./testing/pod-fixture.ts";
import { addOrg, addToken, startPodFixture } from "./testing/pod-fixture.ts";

let pod: PodFixture;
let own: { orgId: string; owner: string; member: string };
let foreign: { orgId: string; owner: string; member: string };
let admin: pg.Client;
const ids = { deployId: newId("deploy"), buildId: newId("build") };
const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const DIGEST = `sha256:${"ab".repeat(32)}`;

beforeAll(async () => {
  pod = await startPodFixture();
  admin = new pg.Client({ connectionString: pod.adminUrl });
  admin.on("error", () => undefined); // the last test ends the server
  await admin.connect();
  own = await addOrg(pod.db, "acme", { operator: true });
  foreign = await addOrg(pod.db, "rival");
  await call("createService", own.member, { body: { name: "shop" } });
  await storePush(ids.deployId, await serviceId("shop"), ids.buildId);
}, 60_000);

afterAll(async () => {
  await admin?.end();
  await pod?.close();
});

const NAMED: Record<string, () => string> = {
  org: () => "acme",
  environment: () => "production",
  service: () => "shop",
  deployId: () => ids.deployId,
  buildId: () => ids.buildId,
};

/** A valid body for each route that has one. */
function sampleBody(name: RouteName): object | undefined {
  const key = () => createUser().getPublicKey();
  const samples: Partial<Record<RouteName, object>> = {
    createOrg: { name: uniqueName("org") },
    createEnvironment: { name: uniqueName("env") },
    createService: { name: uniqueName("svc") },
    scaleService: { processes: [{ process: "web", scale: 2 }] },
    changeVars: { set: { GREETING: "hello" } },
    createJoinToken: { lifetimeMinutes: 5 },
    joinHost: {
      token: "join_unknown",
      name: uniqueName("host"),
      nodeAddress: "10.0.0.9",
      agentKey: key(),
      logshipperKey: key(),
      curveKey: createCurve().getPublicKey(),
    },
  };
  return samples[name];
}

let counter = 0;
const uniqueName = (kind: string) => `${kind}-${++counter}`;

function routeOf(name: RouteName): HttpRoute {
  const found = allRoutes().find(([other]) => other === name);
  if (found === undefined) throw new Error(`no route ${name}`);
  return found[1];
}

async function call(
  name: RouteName,
  token: string | null,
  given: { params?: Record<string, string>; query?: Record<string, string>; body?: object | undefined } = {},
) {
  const route = routeOf(name);
  const url = route.path.replace(
    /:(\w+)/g,
    (_all, key: string) => given.params?.[key] ?? NAMED[key]?.() ?? "missing",
  );
  const payload = given.body === undefined ? {} : { payload: given.body };
  const headers = token === null ? {} : { authorization: `Bearer ${token}` };
  const reply = await pod.app.inject({
    method: route.method,
    url,
    headers,
    query: given.query ?? {},
    ...payload,
  });
  return {
    status: reply.statusCode,
    headers: reply.headers,
    body: reply.body.startsWith("{")
      ? (JSON.parse(reply.body.split("\n")[0] ?? "") as Record<string, never>)
      : reply.body,
  };
}

async function serviceId(name: string): Promise<string> {
  const row = await pod.db
    .selectFrom("services")
    .select("id")
    .where("name", "=", name)
    .where("deleted_at", "is", null)
    .executeTakeFirstOrThrow();
  return row.id;
}

async function storePush(
  deployId: string,
  service: string,
  buildId: string,
  pushedAt = new Date(),
): Promise<void> {
  const { org_id, environment_id } = await pod.db
    .selectFrom("services")
    .select(["org_id", "environment_id"])
    .where("id", "=", service)
    .executeTakeFirstOrThrow();
  await admin.query(
    "insert into git.pushes (deploy_id, org_id, environment_id, service_id, commit, ref, bundle_key, bundle_bytes, created_at) values ($1,$2,$3,$4,$5,'refs/heads/main','k',1,$6)",
    [deployId, org_id, environment_id, service, COMMIT, pushedAt],
  );
  await admin.query(
    "insert into builder.builds (id, deploy_id, org_id, environment_id, service_id, commit, bundle_key, pushed_at, state, created_at) values ($1,$2,$3,$4,$5,$6,'k',$7,'queued',$7)",
    [buildId, deployId, org_id, environment_id, service, COMMIT, pushedAt],
  );
}

async function finishBuild(
  buildId: string,
  processes: object = { web: { command: "run" }, worker: { command: "work" } },
): Promise<void> {
  await admin.query(
    "update builder.builds set state='succeeded', started_at=now(), finished_at=now(), image_repository='o/s', image_digest=$2, image_bytes=10, processes=$3, profile=$4 where id=$1",
    [buildId, DIGEST, processes, { port: 8080, rootFilesystem: "read-only", runsAsRoot: false }],
  );
}

const reconcile = () => reconcileReleases({ db: pod.db, outbox: { wake: () => undefined }, log: silentLog });

describe("authorization matrix", () => {
  const routes = allRoutes();
  test("every route has an entry, and every entry a route", () => {
    expect(routes.map(([name]) => name).toSorted()).toEqual(Object.keys(AUTHORIZATION).toSorted());
  });

  describe.each(routes)("%s", (name, route) => {
    const reach = AUTHORIZATION[name];
    test.runIf(reach !== "anyone")("without a token: 401", async () => {
      const reply = await call(name, null, { body: sampleBody(name) });
      expect(reply.status).toBe(401);
      expect(ErrorBody.parse(reply.body).code).toBe("unauthenticated");
    });
    test.runIf(reach !== "anyone")("with an unknown token: 401", async () => {
      expect((await call(name, `berth_${"0".repeat(40)}`, { body: sampleBody(name) })).status).toBe(401);
    });
    test.runIf(!["anyone", "self"].includes(reach))(
      "as an owner of another org: nothing to see",
      async () => {
        const reply = await call(name, foreign.owner, { body: sampleBody(name) });
        expect(reply.status).toBe(reach === "pod" ? 403 : 404);
      },
    );
    test.runIf(route.role === "owner")("as a member: 403", async () => {
      expect((await call(name, own.member, { body: sampleBody(name) })).status).toBe(403);
    });
    test.runIf(name !== "removeService" && name !== "watchDeploy")(
      "as who may: served, and audited when it changes",
      async () => {
        const before = await auditCount();
        const reply = await call(name, route.role === "member" ? own.member : own.owner, {
          body: sampleBody(name),
        });
        const served =
          reply.status === 200 || (reply.status === 503 && ["listVars", "changeVars"].includes(name));
        if (name === "joinHost") expect(reply.status).toBe(401);
        else expect([name, reply.status, served, reply.body]).toEqual([name, reply.status, true, reply.body]);
        const changes = route.method !== "GET" && reply.status === 200;
        expect(await auditCount()).toBe(before + (changes ? 1 : 0));
      },
    );
  });

  const auditCount = async () =>
    Number(
      (await pod.db.selectFrom("audit").select(pod.db.fn.countAll().as("n")).executeTakeFirstOrThrow()).n,
    );
});

describe("tokens", () => {
  test("an expired and a revoked one are refused", async () => {
    const { user_id } = await pod.db
      .selectFrom("members")
      .select("user_id")
      .where("org_id", "=", own.orgId)
      .executeTakeFirstOrThrow();
    const expired = await addToken(pod.db, user_id, new Date(Date.now() - 1000));
    const revoked = await addToken(pod.db, user_id);
    expect((await call("getWhoAmI", revoked)).status).toBe(200);
    await pod.db
      .updateTable("tokens")
      .set({ revoked_at: new Date() })
      .where("user_id", "=", user_id)
      .where("name", "=", "test")
      .where("expires_at", "is", null)
      .where("id", "=", (eb) =>
        eb
          .selectFrom("tokens")
          .select("id")
          .where("user_id", "=", user_id)
          .orderBy("created_at", "desc")
          .orderBy("id", "desc")
          .limit(1),
      )
      .execute();
    expect((await call("getWhoAmI", expired)).status).toBe(401);
    expect((await call("getWhoAmI", revoked)).status).toBe(401);
  });
});

describe("wrong input", () => {
  test.each([
    ["an unknown key", { name: "x-y", colour: "red" }, "colour"],
    ["an upper-case name", { name: "Shop" }, "name"],
    ["a missing name", {}, "name"],
    ["a health path without a slash", { name: "x-y", healthPath: "up" }, "healthPath"],
  ])("%s is a 400 that names the field", async (_what, body, field) => {
    const reply = await call("createService", own.member, { body });
    expect(reply.status).toBe(400);
    const error = ErrorBody.parse(reply.body);
    expect(error.code).toBe("invalid-input");
    expect(error.message).toContain(field);
    expect(error.requestId).toBe(reply.headers["x-request-id"]);
  });

  test("text that is no JSON is a 400", async () => {
    const reply = await pod.app.inject({
      method: "POST",
      url: "/v1/orgs",
      headers: { authorization: `Bearer ${own.owner}`, "content-type": "application/json" },
      payload: "{",
    });
    expect([reply.statusCode, ErrorBody.parse(reply.json()).code]).toEqual([400, "invalid-input"]);
  });

  test("a body over the limit is a 413, an unknown route a 404, a body where none belongs a 400", async () => {
    const large = { set: { BIG: "x".repeat(600_000) } };
    expect((await call("changeVars", own.member, { body: large })).status).toBe(413);
    expect(ErrorBody.parse((await pod.app.inject({ url: "/v1/nothing" })).json()).code).toBe("not-found");
    expect((await call("cancelDeploy", own.member, { body: { force: true } })).status).toBe(400);
  });

  test("memory that no host could have is a 400", async () => {
    const reply = await call("scaleService", own.member, {
      body: { processes: [{ process: "web", memoryBytes: 2 ** 51 }] },
    });
    expect([reply.status, ErrorBody.parse(reply.body).message]).toEqual([
      400,
      expect.stringContaining("memoryBytes"),
    ]);
  });

  test("taken names", async () => {
    expect((await call("createService", own.member, { body: { name: "shop" } })).status).toBe(409);
    expect(
      (await call("createService", foreign.owner, { params: { org: "rival" }, body: { name: "shop" } }))
        .status,
    ).toBe(409);
  });
});

describe("releases", () => {
  test("a build becomes a release once; only web starts by itself", async () => {
    await call("createService", own.member, { body: { name: "blog" } });
    const service = await serviceId("blog");
    const [deploy, build] = [newId("deploy"), newId("build")];
    await storePush(deploy, service, build);
    await finishBuild(build);
    await Promise.all([reconcile(), reconcile()]);
    await reconcile();
    const releases = (await call("listReleases", own.member, { params: { service: "blog" } }))
      .body as unknown as { releases: { version: number; current: boolean }[] };
    expect(releases.releases).toMatchObject([{ version: 1, current: true }]);
    const shown = (await call("showService", own.member, { params: { service: "blog" } }))
      .body as unknown as { processes: { process: string; scale: number }[] };
    expect(shown.processes).toMatchObject([
      { process: "web", scale: 1 },
      { process: "worker", scale: 0 },
    ]);
    const facts = await admin.query(
      "select count(*)::int as n from api.outbox where event = 'ReleaseCreated' and payload->>'deployId' = $1",
      [deploy],
    );
    expect(facts.rows[0].n).toBe(1);
  });

  test("a later push wins, also when its build ends first", async () => {
    const service = await serviceId("blog");
    const older = { deploy: newId("deploy"), build: newId("build") };
    const newer = { deploy: newId("deploy"), build: newId("build") };
    await storePush(older.deploy, service, older.build, new Date(Date.now() + 1000));
    await storePush(newer.deploy, service, newer.build, new Date(Date.now() + 2000));
    await finishBuild(newer.build);
    await reconcile();
    await finishBuild(older.build);
    await reconcile();
    const current = await pod.db
      .selectFrom("services as s")
      .innerJoin("releases as r", "r.id", "s.current_release_id")
      .select("r.deploy_id")
      .where("s.id", "=", service)
      .executeTakeFirstOrThrow();
    expect(current.deploy_id).toBe(newer.deploy);
    const shown = (await call("showDeploy", own.member, { params: { deployId: older.deploy } }))
      .body as unknown as { deploy: { state: string; final: boolean } };
    expect(shown.deploy).toMatchObject({ state: "superseded", final: true });
  });

  test("a cancelled deploy's build makes no release; cancelling twice is fine", async () => {
    const service = await serviceId("blog");
    const [deploy, build] = [newId("deploy"), newId("build")];
    await storePush(deploy, service, build, new Date(Date.now() + 3000));
    expect((await call("cancelDeploy", own.member, { params: { deployId: deploy } })).status).toBe(200);
    expect((await call("cancelDeploy", own.member, { params: { deployId: deploy } })).status).toBe(200);
    await finishBuild(build);
    await reconcile();
    expect(
      await pod.db.selectFrom("releases").select("id").where("deploy_id", "=", deploy).execute(),
    ).toEqual([]);
  });

  test("a count changes no release; a size makes one with the same image", async () => {
    const scale = (process: object) =>
      call("scaleService", own.member, { params: { service: "blog" }, body: { processes: [process] } });
    expect((await scale({ process: "web", scale: 3 })).body).toMatchObject({
      deployId: null,
      processes: [{ process: "web", scale: 3 }, { process: "worker" }],
    });
    const sized = (await scale({ process: "web", memoryBytes: 512 * 1024 ** 2 })).body as unknown as {
      deployId: string;
    };
    expect(sized.deployId).toMatch(/^dep_/);
    const rows = await pod.db
      .selectFrom("releases")
      .select(["cause", "image_digest"])
      .where("service_id", "=", await serviceId("blog"))
      .orderBy("version", "desc")
      .execute();
    expect(rows[0]).toMatchObject({ cause: "scale", image_digest: DIGEST });
    expect((await scale({ process: "clock", scale: 1 })).status).toBe(404);
  });

  test("two scales at once give two versions", async () => {
    const scale = (mib: number) =>
      call("scaleService", own.member, {
        params: { service: "blog" },
        body: { processes: [{ process: "web", memoryBytes: mib * 1024 ** 2 }] },
      });
    const replies = await Promise.all([scale(300), scale(301), scale(302)]);
    expect(replies.map((reply) => reply.status)).toEqual([200, 200, 200]);
  });

  test("variables need the secrets service: 503, and nothing changed", async () => {
    const reply = await call("changeVars", own.member, {
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
    await admin.query(
      "update git.pushes set stages = $2, created_at = $3, traceparent = $4 where deploy_id = $1",
      [
        ids.deployId,
        stages(0, 1000, "receive"),
        new Date(startMs + 1000),
        `00-${traceId}-${"cd".repeat(8)}-01`,
      ],
    );
    await admin.query("update builder.builds set stages = $2 where deploy_id = $1", [
      ids.deployId,
      stages(1000, 3000, "build"),
    ]);
    await admin.query(
      "insert into router.first_responses (deploy_id, service_id, hostname, host_id, status, started_at_ms, ended_at_ms) values ($1, $2, 'h', 'x', 200, $3, $4)",
      [ids.deployId, await serviceId("shop"), startMs + 3500, startMs + 4000],
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
    await storeSpans(pod.db, [span, span]);
    expect(await readTrace(pod.db, traceId)).toEqual([span]);
    const shown = (await call("showDeploy", own.member)).body as unknown as {
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
    await storePush(deploy, await serviceId("shop"), build);
    await admin.query(
      "update builder.builds set state='failed', finished_at=now(), started_at=now(), reason_code='no-buildpack', reason='nothing known', log=$2 where id=$1",
      [build, "one\ntwo\n"],
    );
    const reply = await pod.app.inject({
      url: `/v1/deploys/${deploy}/events`,
      headers: { authorization: `Bearer ${own.member}` },
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
    ((await call("createJoinToken", own.owner, { body: {} })).body as unknown as { token: string }).token;

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
    const taken = (await pod.db.selectFrom("hosts").select("name").executeTakeFirstOrThrow()).name;
    const token = await newToken();
    expect((await call("joinHost", null, { body: joinBody(token, taken) })).status).toBe(409);
    expect((await call("joinHost", null, { body: joinBody(token, "h-d") })).status).toBe(200);
  });

  test("joins at the same moment get different subnets", async () => {
    const tokens = await Promise.all(Array.from({ length: 6 }, newToken));
    const replies = await Promise.all(
      tokens.map((token, i) => call("joinHost", null, { body: joinBody(token, `many-${i}`) })),
    );
    const subnets = replies.map((reply) => (reply.body as unknown as { subnet: string }).subnet);
    expect(replies.map((reply) => reply.status)).toEqual(Array(6).fill(200));
    expect(new Set(subnets).size).toBe(6);
    const listed = (await call("listHosts", own.owner)).body as unknown as { hosts: { state: string }[] };
    expect(listed.hosts.length).toBeGreaterThanOrEqual(8);
  });
});

describe("pages and the end", () => {
  test("OpenAPI names every route, docs are readable without scripts", async () => {
    const api = (await pod.app.inject({ url: "/openapi.json" })).json() as {
      openapi: string;
      paths: Record<string, object>;
    };
    expect(api.openapi).toBe("3.1.0");
    const listed = Object.entries(api.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method} ${path}`),
    );
    for (const [, route] of allRoutes())
      expect(listed).toContain(`${route.method.toLowerCase()} ${route.path.replace(/:(\w+)/g, "{$1}")}`);
    const docs = await pod.app.inject({ url: "/docs" });
    expect(docs.body).toContain("Make a service");
    expect(docs.body).not.toContain("<script");
    expect((await pod.app.inject({ url: "/readyz" })).statusCode).toBe(503);
  });

  test("removing a service hides it and frees its name", async () => {
    expect((await call("removeService", own.owner)).status).toBe(200);
    expect((await call("showService", own.owner)).status).toBe(404);
    expect((await call("createService", own.member, { body: { name: "shop" } })).status).toBe(200);
  });

  test("without the database: 503, never a success", async () => {
    await pod.stopPostgres();
    const reply = await call("createOrg", own.owner, { body: { name: "late" } });
    expect([reply.status, ErrorBody.parse(reply.body).code]).toEqual([503, "unavailable"]);
  }, 20_000);
});
