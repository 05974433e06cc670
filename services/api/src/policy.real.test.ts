/** A service's policy on a real PostgreSQL: stored, checked, audited, and new instances only where hosts must know. */
import { ErrorBody } from "@berth/shared/contracts/errors.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ApiUnderTest } from "./testing/api-under-test.ts";

let api: ApiUnderTest;
const params = { service: "books" };

beforeAll(async () => {
  api = await ApiUnderTest.start();
  for (const name of ["books", "cache"]) await api.call("createService", api.own.member, { body: { name } });
}, 60_000);

afterAll(() => api?.close());

const change = async (body: object) => {
  const { status, body: answer } = await api.call("changeServicePolicy", api.own.member, { params, body });
  return { status, answer: answer as { policy: Record<string, unknown>; deployId: string | null } };
};

test("a policy is shown with its defaults, changed and named", async () => {
  const shown = await api.call("showServicePolicy", api.own.member, { params });
  expect(shown.body).toMatchObject({ policy: { replaceAfterMs: 10_000, singleWriter: false, near: null } });
  const { status, answer } = await change({ near: "cache", labels: { disk: "ssd" }, apart: true });
  expect([status, answer.deployId]).toEqual([200, null]);
  expect(answer.policy).toMatchObject({ near: "cache", labels: { disk: "ssd" }, apart: true });
  expect((await change({ labels: { disk: null }, near: null })).answer.policy).toMatchObject({
    near: null,
    labels: {},
    apart: true,
  });
});

test("a single writer that could run twice is refused, with the least that is allowed", async () => {
  const reply = await api.call("changeServicePolicy", api.own.member, {
    params,
    body: { singleWriter: true, stopAfterMs: 30_000, replaceAfterMs: 31_000 },
  });
  expect(reply.status).toBe(400);
  expect(ErrorBody.parse(reply.body).message).toMatch(/replaceAfterMs: must be at least 45 s/);
});

test("what the hosts must know makes a release, the rest does not", async () => {
  const [deploy, build] = [newId("deploy"), newId("build")];
  await api.storePush(deploy, await api.serviceId("books"), build);
  await api.finishBuild(build);
  await api.reconcile();
  expect((await change({ onReturn: "keep-original", replaceAfterMs: null })).answer.deployId).toBe(null);
  const { answer } = await change({ singleWriter: true });
  expect(answer.policy).toMatchObject({
    singleWriter: true,
    stopAfterMs: 30_000,
    onReturn: "keep-replacement",
  });
  expect(answer.deployId).toMatch(/^dep_/);
  const audit = await api.admin.query(
    "select details from api.audit where action = 'service.policy-changed' order by id desc limit 1",
  );
  expect(audit.rows[0].details).toEqual({ singleWriter: true });
});

test("options of HTTP are replaced as a whole, checked and named in the audit", async () => {
  const put = (http: object) => api.call("changeServiceHttp", api.own.member, { params, body: { http } });
  const redirects = [{ from: "/old", to: "/new", status: 308 }];
  expect((await put({ sticky: true, redirects })).body).toMatchObject({ http: { sticky: true, redirects } });
  expect((await put({ bodyLimitBytes: 4096 })).body).toEqual({
    http: { bodyLimitBytes: 4096 },
    acknowledged: false,
  });
  const bad = await put({ headers: { "x-frame-options": "DENY\r\nSet-Cookie: a=b" } });
  expect([bad.status, ErrorBody.parse(bad.body).message]).toEqual([
    400,
    expect.stringContaining("x-frame-options"),
  ]);
  const { body } = await api.call("showServiceHttp", api.own.member, { params });
  expect(body).toMatchObject({ http: { bodyLimitBytes: 4096 } });
  const { rows } = await api.admin.query(
    "select details from api.audit where action = 'service.http-changed' order by id",
  );
  expect(rows.map(({ details }) => details.options)).toEqual(["sticky, redirects", "bodyLimitBytes"]);
});
