/** The agent against a bad engine: late, failing after the effect, hanging for one container, restarted. */
import { startTestEngine, type TestEngine, until } from "@berth/shared/testing/real-engine.ts";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type FaultRule, type FaultyEngine, faultyEngine } from "../testing/faulty-engine.ts";
import { newKeys, startTestAgent, type TestAgent, testSpec } from "../testing/real-agent.ts";

type Spec = ReturnType<typeof testSpec>;

const REPOSITORY = "org_test/svc_test";
/** Short, so that a hung call is given up soon; a slow machine that passes one is only one more late answer. */
const deadlines = { callMs: 2000, slowCallMs: 4000 };
const READY_WITHIN_MS = 60_000;
let engine: TestEngine;
let faulty: FaultyEngine;
let agent: TestAgent;
let digest: string;

beforeAll(async () => {
  engine = await startTestEngine((process.pid % 20) + 225);
  digest = await engine.pushImage(REPOSITORY, ["USER app", 'CMD ["httpd","-f","-p","8080","-h","/www"]']);
  faulty = await faultyEngine(engine.socket);
  agent = await startTestAgent({ ...engine, socket: faulty.path }, newKeys(), {
    deadlines,
    lookEveryMs: 1000,
  });
}, 90_000);

afterAll(async () => {
  await agent?.close();
  await faulty?.close();
  await engine?.close();
}, 60_000);

beforeEach(async () => {
  faulty.heal();
  for (const { spec } of agent.jobs.records()) await endJob(spec);
});

async function endJob({ jobId, epoch }: Spec): Promise<void> {
  const revision = Date.now();
  agent.jobs.desire({ leaderEpoch: 1, revision, whole: true, jobs: [{ jobId, epoch, action: "stop" }] });
  await until("an ended job", async () =>
    expect(agent.jobs.records().map(({ spec }) => spec.jobId)).not.toContain(jobId),
  );
}

async function run(patch: Parameters<typeof testSpec>[2] = {}): Promise<Spec> {
  const readiness = { httpPath: null, deadlineMs: 60_000, aliveMs: 0 };
  const spec = testSpec(digest, REPOSITORY, { readiness, ...patch });
  const [answer] = await agent.award(spec);
  expect(answer?.refusal).toBeNull();
  expect(await agent.deliver(spec, {})).toBe("taken");
  return spec;
}

const runSome = (count: number) => Promise.all(Array.from({ length: count }, () => run()));

/** @returns ids, asked of the engine itself */
async function running({ jobId }: Spec): Promise<string[]> {
  const ids = await engine.docker("ps", "-q", "--no-trunc", "--filter", `label=berth.job=${jobId}`);
  return ids.split("\n").filter((id) => id !== "");
}

function namesAskedFor({ jobId }: Spec): Set<string> {
  const asked = faulty.seen.filter((line) => line.startsWith("POST") && line.includes(`name=berth-${jobId}`));
  return new Set(asked);
}

async function allReady(specs: readonly Spec[]): Promise<void> {
  await Promise.all(specs.map((spec) => agent.waitFor(spec, (job) => job.ready, READY_WITHIN_MS)));
}

async function expectOneEach(specs: readonly Spec[], mostAttempts: number): Promise<void> {
  for (const spec of specs) {
    await until("one running container", async () => expect(await running(spec)).toHaveLength(1));
    expect(namesAskedFor(spec).size).toBeLessThanOrEqual(mostAttempts);
  }
}

const MAKES = /^POST .*\/containers\/(create|[0-9a-f]+\/start)/;
const ANY_CONTAINER = /\/containers\//;
test.each<[string, FaultRule]>([
  ["errors after the effect", { match: MAKES, fault: { kind: "error-after-effect" }, timesCount: 8 }],
  ["connections that break after it", { match: MAKES, fault: { kind: "reset-after-effect" }, timesCount: 8 }],
  ["no answer after it", { match: MAKES, fault: { kind: "hang-after-effect" }, timesCount: 4 }],
  ["late answers", { match: ANY_CONTAINER, fault: { kind: "delay", delayMs: 2500 }, timesCount: 10 }],
  ["refused connections", { match: /./, fault: { kind: "refuse" }, timesCount: 20 }],
])(
  "%s: no duplicate, no loop, no failure",
  async (_name, rule) => {
    faulty.break(rule);
    const specs = await runSome(4);
    await allReady(specs);
    expect(faulty.brokenCount()).toBeGreaterThan(0);
    await expectOneEach(specs, 2);
    for (const spec of specs)
      expect(agent.newest(spec.jobId)).toMatchObject({ restartsCount: 0, ready: true });
  },
  90_000,
);

test("an engine that hangs for some containers serves the others, and all when it is well again", async () => {
  const old = await run();
  await allReady([old]);
  const [id = ""] = await running(old);
  const brokenAtMs = Date.now();
  const stuck = Array.from({ length: 5 }, () => testSpec(digest, REPOSITORY));
  const names = stuck.map(({ jobId }) => `berth-${jobId}`).join("|");
  faulty.break({ match: new RegExp(`${id}|${names}`), fault: { kind: "hang" } });
  await engine.docker("kill", id);
  await agent.award(...stuck);
  for (const spec of stuck) await agent.deliver(spec, {});
  await until("hung calls", async () => expect(faulty.brokenCount()).toBeGreaterThan(5));
  const others = await runSome(4);
  await allReady(others);
  for (const spec of stuck) expect(agent.newest(spec.jobId)?.ready).toBe(false);
  faulty.heal();
  await allReady(stuck);
  await agent.waitFor(old, (job) => job.ready && job.restartsCount === 1, READY_WITHIN_MS);
  const attemptsInTime = Math.ceil((Date.now() - brokenAtMs) / deadlines.slowCallMs);
  await expectOneEach([old, ...stuck, ...others], 2 + attemptsInTime);
}, 120_000);

test("an event stream that freezes is noticed by the next list, and the new one goes on from the last event", async () => {
  const first = await run();
  await allReady([first]);
  faulty.break({ match: /GET \/events/, fault: { kind: "silent-stream" } });
  await engine.killEngine();
  await engine.startEngine();
  await until("a frozen stream", async () => expect(faulty.brokenCount()).toBe(1));
  faulty.heal();
  await engine.docker("kill", ...(await running(first)));
  await agent.waitFor(first, (job) => job.ready && job.restartsCount === 1, READY_WITHIN_MS);
  await until("another stream", async () =>
    expect(faulty.seen.findLast((line) => line.startsWith("GET /events"))).toMatch(/since=\d/),
  );
  await expectOneEach([first], 2);
}, 90_000);

test("a list that lacks containers starts nothing twice", async () => {
  const specs = await runSome(2);
  await allReady(specs);
  const before = (await Promise.all(specs.map(running))).flat();
  const lacks = (id: string) => before.includes(id);
  faulty.break({ match: /GET \/containers\/json/, fault: { kind: "partial-list", lacks }, timesCount: 4 });
  await until("lists", async () => expect(faulty.brokenCount()).toBe(4));
  await agent.jobs.look();
  await allReady(specs);
  expect((await Promise.all(specs.map(running))).flat().sort()).toEqual(before.sort());
  for (const spec of specs) expect(agent.newest(spec.jobId)).toMatchObject({ restartsCount: 0 });
}, 60_000);

test("kill -9 of dockerd: with live restore nothing restarts, without it everything comes back once", async () => {
  const specs = await runSome(3);
  await allReady(specs);
  const before = (await Promise.all(specs.map(running))).flat();
  await engine.killEngine();
  const meanwhile = await run();
  await engine.startEngine();
  await allReady([...specs, meanwhile]);
  expect((await Promise.all(specs.map(running))).flat()).toEqual(before);

  await engine.killEngine();
  await engine.startEngine({ liveRestore: false });
  for (const spec of [...specs, meanwhile])
    await agent.waitFor(spec, (job) => job.ready && job.restartsCount > 0, READY_WITHIN_MS);
  await expectOneEach([...specs, meanwhile], 3);
}, 120_000);
