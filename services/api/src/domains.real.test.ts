/** Custom domains on a real PostgreSQL, proved by a real name server. */
import type { Domain } from "@berth/shared/contracts/http/domains.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { RouteName } from "./inbound/http/routes.ts";
import { proofTimes, reproveDomains } from "./inbound/reprove-domains.ts";
import { createTxtRecords, type TxtRecords } from "./outbound/txt-records.ts";
import { ApiUnderTest } from "./testing/api-under-test.ts";

let api: ApiUnderTest;
const rival = { org: "rival", service: "stall" };

beforeAll(async () => {
  api = await ApiUnderTest.start();
  await api.call("createService", api.foreign.member, { params: { org: "rival" }, body: { name: "stall" } });
}, 60_000);

afterAll(() => api?.close());

async function asked(name: RouteName, token: string, params: Record<string, string>, body?: object) {
  const { status, body: answer } = await api.call(name, token, { params, body });
  return { status, answer: answer as Domain & { code?: string; message?: string } };
}
const ours = (name: RouteName, domain: string) => asked(name, api.own.owner, { domain });
const theirs = (name: RouteName, domain: string) => asked(name, api.foreign.owner, { ...rival, domain });
const claim = async (name: string) => (await asked("addDomain", api.own.member, {}, { name })).answer;
const claimOfRival = async (name: string) =>
  (await asked("addDomain", api.foreign.member, rival, { name })).answer;

test("a claim alone gives nothing; the TXT record does, and only its own", async () => {
  const domain = await claim("Bücher.example.");
  expect(domain).toMatchObject({ name: "xn--bcher-kva.example", state: "pending", routed: false });
  expect(await ours("verifyDomain", domain.name)).toMatchObject({
    ...{ status: 409, answer: { code: "domain-not-proved" } },
  });
  const foreign = await claimOfRival(domain.name);
  api.prove(foreign);
  expect((await ours("verifyDomain", domain.name)).answer.message).toContain("another value");
  api.prove(domain);
  expect((await theirs("verifyDomain", domain.name)).answer.code).toBe("domain-not-proved");
  expect((await ours("verifyDomain", domain.name)).answer.state).toBe("verified");
  api.prove(foreign);
  expect((await theirs("verifyDomain", domain.name)).answer).toMatchObject({ code: "domain-taken" });
});

test("two at once who both prove it: one has it, and the database allows no second", async () => {
  const [one, two] = [await claim("both.example.com"), await claimOfRival("both.example.com")];
  api.pod.dns.txt.set(one.record.name, [one.record.value, two.record.value]);
  const all = await Promise.all([
    ...Array.from({ length: 4 }, () => ours("verifyDomain", one.name)),
    ...Array.from({ length: 4 }, () => theirs("verifyDomain", one.name)),
  ]);
  const served = all.map(({ status }) => status === 200);
  expect([served.slice(0, 4), served.slice(4)].map((side) => new Set(side).size)).toEqual([1, 1]);
  expect(served[0]).not.toBe(served[4]);
  const { rows } = await api.admin.query("select org_id from api.domain_owners where name = $1", [one.name]);
  expect(rows).toHaveLength(1);
});

test("released: its former owner may take it again, nobody else before the quarantine ended", async () => {
  const domain = await claim("*.moved.example");
  api.prove(domain);
  expect((await ours("verifyDomain", domain.name)).status).toBe(200);
  const below = await claimOfRival("shop.moved.example");
  api.prove(below);
  expect((await theirs("verifyDomain", below.name)).answer.code).toBe("domain-taken");
  expect((await ours("removeDomain", domain.name)).status).toBe(200);
  expect((await ours("showDomain", domain.name)).status).toBe(404);
  expect((await theirs("verifyDomain", below.name)).answer.message).toContain("it is free from");
  const again = await claim("*.moved.example");
  expect(again.record.value).not.toBe(domain.record.value);
  api.prove(again);
  expect((await ours("verifyDomain", again.name)).answer.state).toBe("verified");
  await ours("removeDomain", domain.name);
  await api.admin.query(
    "update api.domain_owners set released_at = now() - interval '2 minutes' where service_id is null",
  );
  api.prove(below);
  expect((await theirs("verifyDomain", below.name)).answer.state).toBe("verified");
});

test("a proof is looked for again: what is missing is told, then released; no answer changes nothing", async () => {
  const lines: string[] = [];
  const log = { ...silentLog, warn: (event: string) => void lines.push(event) };
  const txt = createTxtRecords({ servers: [api.pod.dns.address], timeoutMs: 2000 });
  const look = (lookUp: TxtRecords["lookUp"] = txt.lookUp) =>
    reproveDomains({
      db: api.pod.db,
      log,
      txt: { lookUp },
      times: proofTimes(86_400_000),
      graceMs: 3_600_000,
    });
  const age = (column: string) =>
    api.admin.query(`update api.domain_owners set ${column} = now() - interval '2 days' where name = $1`, [
      domain.name,
    ]);
  const shown = async () => (await ours("showDomain", domain.name)).answer;
  const alarms = async () => {
    const { body } = await api.call("listAlarms", api.own.owner);
    return (body as { alarms: { code: string; subject: string }[] }).alarms.filter(
      (one) => one.subject === domain.name,
    );
  };
  const domain = await claim("held.example.com");
  api.prove(domain);
  await ours("verifyDomain", domain.name);
  api.pod.dns.txt.delete(domain.record.name);
  await look();
  expect(await shown()).toMatchObject({ state: "verified", proofProblem: null });
  await age("checked_at");
  await look(async () => ({ kind: "failed", reason: "ESERVFAIL" }));
  expect(await shown()).toMatchObject({ state: "verified", proofProblem: null });
  await age("checked_at");
  await look();
  expect((await shown()).proofProblem?.text).toContain("no TXT record");
  expect(await alarms()).toMatchObject([{ code: "domain-unproved" }]);
  api.prove(domain);
  await age("checked_at");
  await look();
  expect(await shown()).toMatchObject({ state: "verified", proofProblem: null });
  api.pod.dns.txt.delete(domain.record.name);
  await age("checked_at");
  await look();
  await age("failing_since");
  await age("checked_at");
  await look();
  expect(await alarms()).toEqual([]);
  expect(await shown()).toMatchObject({ state: "pending", proofProblem: null });
  expect(lines).toEqual(["domain.unproved", "domain.unproved", "domain.released"]);
  const { rows } = await api.admin.query(
    "select details->>'name' as name from api.audit where action = 'domain.proof-lost'",
  );
  expect(rows).toEqual([{ name: domain.name }]);
  api.prove(domain);
  expect((await ours("verifyDomain", domain.name)).answer).toMatchObject({
    state: "verified",
    proofProblem: null,
  });
  await ours("removeDomain", domain.name);
});

test("a removed service releases its domains; the pod's names and more than the quota are refused", async () => {
  await api.call("createService", api.own.member, { body: { name: "gone" } });
  const params = { service: "gone" };
  const domain = (await asked("addDomain", api.own.member, params, { name: "gone.example.com" })).answer;
  api.prove(domain);
  await asked("verifyDomain", api.own.member, { ...params, domain: domain.name });
  await asked("removeService", api.own.owner, params);
  const { rows } = await api.admin.query(
    "select service_id, released_at is not null as released from api.domain_owners where name = $1",
    [domain.name],
  );
  expect(rows).toEqual([{ service_id: null, released: true }]);
  for (const name of ["x.berth.localhost", "*.berth.localhost", "192.0.2.1", "com"])
    expect((await asked("addDomain", api.own.member, {}, { name })).status, name).toBe(400);
  const statuses: number[] = [];
  for (let n = 0; n < 10; n++)
    statuses.push((await asked("addDomain", api.own.member, {}, { name: `q${n}.example.com` })).status);
  expect(statuses.at(-1)).toBe(409);
  const listed = await api.call("listDomains", api.own.member);
  expect((listed.body as { domains: Domain[] }).domains).toHaveLength(10);
});
