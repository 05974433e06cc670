/** Links on a real PostgreSQL: both sides must agree, neither learns of the other before, each ends it alone. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { ApiUnderTest } from "./testing/api-under-test.ts";

let api: ApiUnderTest;
beforeAll(async () => {
  api = await ApiUnderTest.start();
}, 60_000);
afterAll(() => api?.close());

const theirs = { params: { org: "rival" } };
const offer = { service: "shop", port: 8080, to: { org: "rival", environment: "production" } };
const accept = { org: "acme", environment: "production", service: "shop", port: 8080 };
const standing = async () => (await api.admin.query("select * from api.links")).rows;
const states = async () => {
  const own = await api.call("listLinks", api.own.member);
  const their = await api.call("listLinks", api.foreign.member, theirs);
  type Listed = { offers: { state: string }[]; accepted: { state: string }[] };
  return [(own.body as Listed).offers, (their.body as Listed).accepted].map((side) =>
    side.map(({ state }) => state),
  );
};

test("one side alone waits, both make it stand, each ends it", async () => {
  expect((await api.call("acceptLink", api.foreign.owner, { ...theirs, body: accept })).body).toEqual({
    state: "waiting",
    hostname: "shop.production.acme.link.internal",
  });
  expect(await states()).toEqual([[], ["waiting"]]);
  expect((await api.call("offerLink", api.own.owner, { body: offer })).body).toMatchObject({
    state: "standing",
  });
  expect(await states()).toEqual([["standing"], ["standing"]]);
  expect(await standing()).toMatchObject([{ port: 8080, service: "shop", org: "acme" }]);
  for (const other of [
    { ...offer, port: 81 },
    { ...offer, service: "ledger" },
  ])
    await api.call("offerLink", api.own.owner, { body: other });
  expect(await standing()).toHaveLength(1);

  expect((await api.call("leaveLink", api.foreign.owner, { ...theirs, body: accept })).status).toBe(200);
  expect(await standing()).toEqual([]);
  await api.call("acceptLink", api.foreign.owner, { ...theirs, body: accept });
  expect(await standing()).toHaveLength(1);
  expect((await api.call("withdrawLink", api.own.owner, { body: offer })).status).toBe(200);
  expect(await standing()).toEqual([]);
  expect((await api.call("withdrawLink", api.own.owner, { body: offer })).status).toBe(404);
});

test("whether a name of another org means anything is not told; in the own org it is", async () => {
  const to = (org: string, environment: string) => ({ ...offer, port: 9000, to: { org, environment } });
  const [real, made] = [to("rival", "production"), to("rival", "nothing")];
  const answers = [real, made, to("nobody", "nothing")].map(async (body) => {
    const { status, body: said } = await api.call("offerLink", api.own.owner, { body });
    return { status, said };
  });
  expect(await Promise.all(answers)).toEqual(
    Array.from({ length: 3 }, () => ({ status: 200, said: { state: "waiting" } })),
  );
  expect((await api.call("offerLink", api.own.owner, { body: to("acme", "nothing") })).status).toBe(404);
  expect((await api.call("offerLink", api.own.owner, { body: to("acme", "production") })).status).toBe(400);
});

test("who takes a name later is not meant by an offer of before", async () => {
  const accepting = { ...accept, port: 9000 };
  await api.call("createEnvironment", api.foreign.owner, { ...theirs, body: { name: "nothing" } });
  const params = { org: "rival", environment: "nothing" };
  const accepted = await api.call("acceptLink", api.foreign.owner, { params, body: accepting });
  expect(accepted.body).toMatchObject({ state: "waiting" });
  const again = { ...offer, port: 9000, to: { org: "rival", environment: "nothing" } };
  expect((await api.call("offerLink", api.own.owner, { body: again })).body).toMatchObject({
    state: "standing",
  });
});

test("a service that is removed takes its links along, and its name gives them to no other", async () => {
  expect(await standing()).toHaveLength(1);
  await api.call("removeService", api.own.owner);
  expect(await standing()).toEqual([]);
  await api.call("createService", api.own.owner, { body: { name: "shop" } });
  expect(await standing()).toEqual([]);
});
