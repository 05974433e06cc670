/** The history, pods and hosts' addresses on a real PostgreSQL: who sees what, page by page. */
import { newId } from "@berth/shared/kit/ids.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { moveHost } from "./outbound/host-address-store.ts";
import { readPeers } from "./outbound/host-store.ts";
import { readDecisions } from "./outbound/status-store.ts";
import { ApiUnderTest, sampleBody } from "./testing/api-under-test.ts";

let api: ApiUnderTest;
const call: ApiUnderTest["call"] = (...given) => api.call(...given);

beforeAll(async () => {
  api = await ApiUnderTest.start();
}, 60_000);

afterAll(() => api?.close());

interface Page {
  readonly events: { id: string; kind: string; org: string | null; service: string | null; text: string }[];
  readonly next: string | null;
}

const events = async (token: string, query: Record<string, string> = {}) => {
  const reply = await call("listEvents", token, { query });
  expect([reply.status, reply.body]).toEqual([200, reply.body]);
  return reply.body as Page;
};

async function storeJob(service: string, orgId: string): Promise<string> {
  const id = newId("job");
  const env = await api.admin.query("select environment_id from api.services where id = $1", [service]);
  await api.admin.query(
    `insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec)
     values ($1, $2, $3, $4, 'r', 'd', 'web', 1, '{}')`,
    [id, orgId, env.rows[0].environment_id, service],
  );
  return id;
}

test("a customer sees the own org's history only, an operator the pod's", async () => {
  const job = await storeJob(await api.serviceId("shop"), api.own.orgId);
  await api.admin.query("update scheduler.jobs set state = 'failed', reason_code = 'crashed' where id = $1", [
    job,
  ]);
  await api.admin.query("insert into scheduler.events (kind, details) values ('evictions.frozen', '{}')");
  const mine = await events(api.own.member);
  expect(mine.events.slice(0, 2)).toMatchObject([
    { kind: "job.failed", org: "acme", service: "shop", text: "web.1 is failed: crashed" },
    { kind: "job.requested", text: "web.1 is wanted" },
  ]);
  expect(mine.events.map(({ kind }) => kind)).toContain("act.service.created");
  expect(mine.events.every(({ org }) => org === "acme")).toBe(true);
  const foreign = await events(api.foreign.owner);
  expect(foreign.events.filter(({ org }) => org !== "rival")).toEqual([]);
  expect((await events(api.own.owner)).events[0]?.kind).toBe("evictions.frozen");
  expect((await events(api.foreign.owner, { service: "shop" })).events).toEqual([]);
  expect((await events(api.own.member, { service: "shop" })).events.length).toBeGreaterThan(1);
});

test("that a host took its job is read off the job, not off the decision", async () => {
  const service = await api.serviceId("shop");
  const job = await storeJob(service, api.own.orgId);
  await api.admin.query(
    `insert into scheduler.decisions (id, job_id, service_id, epoch, outcome, candidates) values ($1, $2, $3, 1, 'placed', '[]')`,
    [newId("decision"), job, service],
  );
  const answer = async (state: string, epoch: number, sequence: number) => {
    await api.admin.query(
      "update scheduler.jobs set state = $2, epoch = $3, observed_sequence = $4 where id = $1",
      [job, state, epoch, sequence],
    );
    return (await readDecisions(api.pod.db, service, 1))[0]?.answer;
  };
  expect(await answer("awarded", 1, -1)).toBe("none");
  expect(await answer("accepted", 1, 1)).toBe("accepted");
  expect(await answer("running", 2, 3)).toBe("none");
  expect(await answer("failed", 1, 4)).toBe("accepted");
});

test("pages neither repeat nor leave out", async () => {
  const whole = await events(api.own.owner, { limit: "1000" });
  expect(whole.next).toBeNull();
  const walked: string[] = [];
  let before: string | null = null;
  do {
    const page: Page = await events(api.own.owner, { limit: "2", ...(before === null ? {} : { before }) });
    walked.push(...page.events.map(({ id }) => id));
    before = page.next;
  } while (before !== null);
  expect(walked).toEqual(whole.events.map(({ id }) => id));
  expect((await call("listEvents", api.own.owner, { query: { before: "1 or 1=1" } })).status).toBe(400);
});

test("a host joins the pod and zone of its token; an environment is made for a pod that is there", async () => {
  expect((await call("createPod", api.own.owner, { body: { name: "eu", strategy: "binpack" } })).status).toBe(
    200,
  );
  expect((await call("createPod", api.own.owner, { body: { name: "eu" } })).status).toBe(409);
  const token = await call("createJoinToken", api.own.owner, { body: { pod: "eu", zone: "b" } });
  const body = { ...sampleBody("joinHost"), token: (token.body as { token: string }).token };
  expect((await call("joinHost", null, { body })).body).toMatchObject({ zone: "b" });
  const { hosts } = (await call("listHosts", api.own.owner)).body as {
    hosts: { pod: string; zone: string }[];
  };
  expect(hosts.filter(({ pod }) => pod === "eu")).toMatchObject([{ zone: "b" }]);
  const made = await call("createEnvironment", api.own.owner, { body: { name: "far", pod: "eu" } });
  expect(made.body).toMatchObject({ pod: "eu" });
  const none = await call("createEnvironment", api.own.owner, { body: { name: "none", pod: "nowhere" } });
  expect(none.status).toBe(404);
  expect((await call("createJoinToken", api.own.owner, { body: { pod: "nowhere" } })).status).toBe(404);
  expect((await call("listPods", api.own.owner)).body).toMatchObject({
    pods: [{ name: "main" }, { name: "eu", strategy: "binpack", hostsCount: 1, environmentsCount: 1 }],
  });
});

test("a host that comes from another address is the same host there, but never at another host's", async () => {
  await api.storeHost("rover", "10.209.7.0/24");
  await api.pod.db
    .updateTable("hosts")
    .set({ node_address: "10.0.7.1" })
    .where("name", "=", "rover")
    .execute();
  const before = await readPeers(api.pod.db);
  const id = before.peers.find(({ name }) => name === "rover")?.hostId ?? "";
  expect(await moveHost(api.pod.db, id, "10.0.7.1")).toBe("same");
  expect(await moveHost(api.pod.db, id, "10.0.0.1")).toBe("taken");
  expect(await moveHost(api.pod.db, id, "10.0.7.2")).toBe("moved");
  const after = await readPeers(api.pod.db);
  expect(after.revision).toBe(before.revision + 1);
  expect(after.peers.find(({ name }) => name === "rover")).toMatchObject({
    hostId: id,
    nodeAddress: "10.0.7.2",
  });
  const [newest] = (await events(api.own.owner, { host: "rover" })).events;
  expect(newest).toMatchObject({ kind: "act.host.moved" });
  expect((await call("showHost", api.own.owner, { params: { host: "rover" } })).body).toMatchObject({
    host: { nodeAddress: "10.0.7.2", pod: "main", alarms: [] },
    identity: { cloned: null },
    jobs: [],
  });
});
