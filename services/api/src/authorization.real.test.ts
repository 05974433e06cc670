/**
 * Who may do what, on a real PostgreSQL. The matrix is generated from the contract's routes: a new route is tested
 * without anyone writing a line here.
 */
import { ErrorBody } from "@berth/shared/contracts/errors.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AUTHORIZATION, allRoutes } from "./inbound/http/routes.ts";
import { ApiUnderTest, sampleBody, sampleParams } from "./testing/api-under-test.ts";
import { addToken } from "./testing/pod-fixture.ts";

let api: ApiUnderTest;
const call: ApiUnderTest["call"] = (...given) => api.call(...given);

beforeAll(async () => {
  api = await ApiUnderTest.start();
}, 60_000);

afterAll(() => api?.close());

/** Routes that another service or a host answers: there is none here, so what is right gets as far as that. */
const ASK_THE_BUS: ReadonlySet<string> = new Set([
  ...[
    "listVars",
    "changeVars",
    "hostUsage",
    "planRebalance",
    "showNetwork",
    "rotateNetworkKeys",
    "listNetworkPeers",
    "addNetworkPeer",
    "removeNetworkPeer",
    "createRegistryToken",
    "addCertificate",
  ],
]);

describe("authorization matrix", () => {
  const routes = allRoutes();
  test("every route has an entry, and every entry a route", () => {
    expect(routes.map(([name]) => name).toSorted()).toEqual(Object.keys(AUTHORIZATION).toSorted());
  });

  describe.each(routes)("%s", (name, route) => {
    const reach = AUTHORIZATION[name];
    test.runIf(reach !== "anyone")("without a token: 401", async () => {
      const reply = await call(name, null, { params: sampleParams(name), body: sampleBody(name) });
      expect(reply.status).toBe(401);
      expect(ErrorBody.parse(reply.body).code).toBe("unauthenticated");
    });
    test.runIf(reach !== "anyone")("with an unknown token: 401", async () => {
      expect(
        (await call(name, `berth_${"0".repeat(40)}`, { params: sampleParams(name), body: sampleBody(name) }))
          .status,
      ).toBe(401);
    });
    test.runIf(!["anyone", "self"].includes(reach))(
      "as an owner of another org: nothing to see",
      async () => {
        const reply = await call(name, api.foreign.owner, {
          params: sampleParams(name),
          body: sampleBody(name),
        });
        expect(reply.status).toBe(reach === "pod" ? 403 : 404);
      },
    );
    test.runIf(route.role === "owner")("as a member: 403", async () => {
      expect(
        (await call(name, api.own.member, { params: sampleParams(name), body: sampleBody(name) })).status,
      ).toBe(403);
    });
    test.runIf(!["removeService", "watchDeploy", "watchEvents"].includes(name))(
      "as who may: served, and audited when it changes",
      async () => {
        const before = await auditCount();
        const reply = await call(name, route.role === "member" ? api.own.member : api.own.owner, {
          params: sampleParams(name),
          body: sampleBody(name),
        });
        if (route.shape === "socket") return expect(reply.status).toBe(400);
        const served = reply.status === 200 || (reply.status === 503 && ASK_THE_BUS.has(name));
        if (name === "joinHost") expect(reply.status).toBe(401);
        else expect([name, reply.status, served, reply.body]).toEqual([name, reply.status, true, reply.body]);
        const changes = route.method !== "GET" && reply.status === 200;
        expect(await auditCount()).toBe(before + (changes ? 1 : 0));
      },
    );
  });

  const auditCount = async () =>
    Number(
      (
        await api.pod.db
          .selectFrom("audit")
          .select(api.pod.db.fn.countAll().as("n"))
          .executeTakeFirstOrThrow()
      ).n,
    );
});

describe("tokens", () => {
  test("an expired and a revoked one are refused", async () => {
    const { user_id } = await api.pod.db
      .selectFrom("members")
      .select("user_id")
      .where("org_id", "=", api.own.orgId)
      .executeTakeFirstOrThrow();
    const expired = await addToken(api.pod.db, user_id, new Date(Date.now() - 1000));
    const revoked = await addToken(api.pod.db, user_id);
    expect((await call("getWhoAmI", revoked)).status).toBe(200);
    await api.pod.db
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
    const reply = await call("createService", api.own.member, { body });
    expect(reply.status).toBe(400);
    const error = ErrorBody.parse(reply.body);
    expect(error.code).toBe("invalid-input");
    expect(error.message).toContain(field);
    expect(error.requestId).toBe(reply.headers["x-request-id"]);
  });

  test("text that is no JSON is a 400", async () => {
    const reply = await api.pod.app.inject({
      method: "POST",
      url: "/v1/orgs",
      headers: { authorization: `Bearer ${api.own.owner}`, "content-type": "application/json" },
      payload: "{",
    });
    expect([reply.statusCode, ErrorBody.parse(reply.json()).code]).toEqual([400, "invalid-input"]);
  });

  test("a body over the limit is a 413, an unknown route a 404, a body where none belongs a 400", async () => {
    const large = { set: { BIG: "x".repeat(600_000) } };
    expect((await call("changeVars", api.own.member, { body: large })).status).toBe(413);
    expect(ErrorBody.parse((await api.pod.app.inject({ url: "/v1/nothing" })).json()).code).toBe("not-found");
    expect((await call("cancelDeploy", api.own.member, { body: { force: true } })).status).toBe(400);
  });

  test("memory that no host could have is a 400", async () => {
    const reply = await call("scaleService", api.own.member, {
      body: { processes: [{ process: "web", memoryBytes: 2 ** 51 }] },
    });
    expect([reply.status, ErrorBody.parse(reply.body).message]).toEqual([
      400,
      expect.stringContaining("memoryBytes"),
    ]);
  });

  test("taken names", async () => {
    expect((await call("createService", api.own.member, { body: { name: "shop" } })).status).toBe(409);
    expect(
      (await call("createService", api.foreign.owner, { params: { org: "rival" }, body: { name: "shop" } }))
        .status,
    ).toBe(409);
  });
});
