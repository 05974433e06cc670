/** The removal of garbage on a real engine: what nobody needs goes, and nothing else. The disk's marks are settings. */

import { systemClock } from "@berth/shared/kit/clock.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { startTestEngine, type TestEngine, until } from "@berth/shared/testing/real-engine.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EngineStore } from "../outbound/engine-store.ts";
import { ImageUses } from "../outbound/image-uses.ts";
import { type FaultyEngine, faultyEngine } from "../testing/faulty-engine.ts";
import { newKeys, POD_ID, startTestAgent, type TestAgent, testSpec } from "../testing/real-agent.ts";
import { GarbageCollector } from "./garbage-collector.ts";

const REPOSITORY = "org_test/svc_test";
const COMMAND = 'CMD ["httpd","-f","-p","8080","-h","/www"]';
let engine: TestEngine;
let agent: TestAgent;
let slow: FaultyEngine;
const keys = newKeys();
const reference = (digest: string) => `${engine.registry}/${REPOSITORY}@${digest}`;

beforeAll(async () => {
  engine = await startTestEngine();
  slow = await faultyEngine(engine.socket);
  agent = await startTestAgent({ ...engine, socket: slow.path }, keys);
}, 60_000);

afterAll(async () => {
  await agent?.close();
  await slow?.close();
  await engine?.close();
}, 60_000);

/** Images of the registry that are on the engine, by digest. */
async function present(): Promise<Set<string>> {
  const listed = await engine.docker("images", "--digests", "--format", "{{.Digest}}");
  return new Set(listed.split("\n").filter((digest) => digest.startsWith("sha256:")));
}

async function makeImage(number: number, isPulled: boolean): Promise<string> {
  const digest = await engine.pushImage(REPOSITORY, ["USER app", COMMAND, `LABEL number=${number}`]);
  if (isPulled) await engine.docker("pull", reference(digest));
  return digest;
}

function collector(startPercent: number, imageKeptMs = 3_600_000): GarbageCollector {
  return new GarbageCollector({
    store: new EngineStore(engine.socket, POD_ID),
    uses: new ImageUses(engine.folder),
    jobs: agent.jobs,
    puller: agent.puller,
    meter: agent.meter,
    registry: engine.registry,
    reservedDiskBytes: 0,
    // With both marks at almost nothing every disk is too full, however empty it is.
    limits: { imageKeptMs, volumeKeptMs: 0, startPercent, endPercent: startPercent },
    clock: systemClock,
    log: silentLog,
  });
}

function desire(revision: number, pinnedImages: readonly string[], whole = true): void {
  const jobs = agent.jobs
    .records()
    .map(({ spec: { jobId, epoch } }) => ({ jobId, epoch, action: "run" as const }));
  agent.jobs.desire({ leaderEpoch: 1, revision, whole, jobs, pinnedImages });
}

test("a full disk: the unneeded image goes; the job's, the pinned, the pulled and a stranger's stay", async () => {
  const job = await makeImage(1, false);
  const [pinned, unneeded, pulling] = [
    await makeImage(2, true),
    await makeImage(3, true),
    await makeImage(4, true),
  ];
  const stranger = await makeImage(5, true);
  await engine.docker("tag", reference(stranger), `${engine.registry}/${REPOSITORY}:bld_1`);
  const spec = testSpec(job, REPOSITORY);
  await agent.award(spec);
  await agent.deliver(spec, {});
  await agent.waitFor(spec, ({ ready }) => ready);
  await engine.docker(
    "volume",
    "create",
    "--label",
    "berth.volume=scratch",
    "--label",
    `berth.pod=${POD_ID}`,
    "old",
  );
  await engine.docker("volume", "create", "--label", `berth.pod=${POD_ID}`, "data");
  const all = [job, pinned, unneeded, pulling, stranger];

  // Nobody told this agent what must stay: nothing goes, however full the disk is; nor by a set that is not whole.
  await collector(1).collect();
  desire(1, [pinned], false);
  await collector(1).collect();
  expect(await present()).toEqual(new Set(all));
  expect(await engine.docker("volume", "ls", "-q")).toContain("old");

  desire(2, [pinned]);
  // Far below its mark: nothing goes, but what could go counts as free in the bid.
  await agent.meter.measure();
  const before = agent.meter.state(agent.jobs.records());
  await collector(100).collect();
  expect(await present()).toEqual(new Set(all));
  expect(agent.meter.state(agent.jobs.records()).diskFreeBytes).toBeGreaterThanOrEqual(before.diskFreeBytes);

  // A builder on the same engine takes its own name back: the host's own name keeps the image.
  await engine.docker("tag", reference(pinned), `${engine.registry}/${REPOSITORY}:bld_2`);
  await engine.docker("rmi", `${engine.registry}/${REPOSITORY}:bld_2`);
  expect(await present()).toEqual(new Set(all));

  slow.break({ match: /images\/create/, fault: { kind: "hang" } });
  const pull = agent.puller.pull(reference(pulling), engine.registry, "").catch(() => {});
  await until("the pull", async () => expect(slow.brokenCount()).toBe(1));
  await collector(1).collect();
  expect(await present()).toEqual(new Set([job, pinned, pulling, stranger]));
  slow.heal();
  await agent.close();
  await slow.close();
  await pull;
  agent = await startTestAgent(engine, keys);
  await agent.waitFor(spec, ({ ready }) => ready);
  expect((await engine.docker("volume", "ls", "-q")).trim()).toBe("data");
  // The job runs on, and needs no pull to run again.
  await engine.docker(
    "kill",
    (await engine.docker("ps", "-q", "--filter", `label=berth.job=${spec.jobId}`)).trim(),
  );
  await agent.waitFor(spec, ({ ready, restartsCount }) => ready && restartsCount === 1);
}, 45_000);
