/** Jobs on a real Docker Engine: the road from an award to a ready container, and what goes wrong on it. */
import { readFile } from "node:fs/promises";
import { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { systemClock } from "@berth/shared/kit/clock.ts";
import { type Log, silentLog } from "@berth/shared/kit/log.ts";
import { startTestEngine, type TestEngine, until } from "@berth/shared/testing/real-engine.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bootId } from "../outbound/measure.ts";
import { KernelOomLog, oomCounterOf, readOomKills } from "../outbound/oom-kills.ts";
import { newTestId } from "../testing/ids.ts";
import { type AgentKeys, newKeys, startTestAgent, type TestAgent, testSpec } from "../testing/real-agent.ts";

const REPOSITORY = "org_test/svc_test";
const CANARY = "canary-7f3a'\"$(touch /tmp/hacked)`id`\n2nd line";
let engine: TestEngine;
let keys: AgentKeys;
let agent: TestAgent;
const said: [string, object | undefined][] = [];
const log: Log = { ...silentLog, warn: (event, fields) => void said.push([event, fields]) };
let digest: string;

beforeAll(async () => {
  engine = await startTestEngine();
  digest = await engine.pushImage(REPOSITORY, ["USER app", 'CMD ["httpd","-f","-p","8080","-h","/www"]']);
  keys = newKeys();
  agent = await startTestAgent(engine, keys, { log });
}, 60_000);

afterAll(async () => {
  await agent?.close();
  await engine?.close();
}, 60_000);

async function containerOf(jobId: string): Promise<string> {
  return (await engine.docker("ps", "-aq", "--no-trunc", "--filter", `label=berth.job=${jobId}`)).trim();
}

async function run(patch: Parameters<typeof testSpec>[2], variables: Record<string, string> = {}) {
  const spec = testSpec(digest, REPOSITORY, patch);
  const [answer] = await agent.award(spec);
  expect(answer?.refusal).toBeNull();
  expect(await agent.deliver(spec, variables)).toBe("taken");
  return spec;
}

test("award → pull → ready; hardened; variables are in the app and not in docker inspect", async () => {
  const spec = await run({}, { CANARY });
  const ready = await agent.waitFor(spec, (job) => job.ready);
  expect(ready).toMatchObject({ state: "running", port: 8080, restartsCount: 0 });
  expect(ready.stages.map(({ name }) => name)).toEqual(["secrets", "pull", "create", "start", "ready"]);
  const answer = await fetch(`http://${ready.address}:8080/index.html`);
  expect(await answer.text()).toBe("ok\n");

  const id = await containerOf(spec.jobId);
  const inspect = await engine.docker("inspect", id);
  expect(inspect).not.toContain("canary-7f3a");
  const [seen] = JSON.parse(inspect);
  expect(seen.HostConfig).toMatchObject({
    CapDrop: ["ALL"],
    ReadonlyRootfs: true,
    Privileged: false,
    IpcMode: "none",
    PidsLimit: 256,
    NanoCpus: 500_000_000,
    Memory: 64 * 1024 ** 2,
    MemorySwap: 64 * 1024 ** 2,
    PortBindings: null,
    OomScoreAdj: 500,
    Init: true,
    RestartPolicy: { Name: "no" },
  });
  const pids = (await engine.docker("top", id, "-eo", "pid,args"))
    .split("\n")
    .filter((line) => line.includes("httpd -f"));
  const pid = pids.at(-1)?.trim().split(/\s+/)[0];
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  expect(status).toMatch(/CapBnd:\s+0{16}/);
  expect(status).toMatch(/CapEff:\s+0{16}/);
  expect(status).toMatch(/NoNewPrivs:\s+1/);
  expect(status).toMatch(/Seccomp:\s+2/);
  expect(status).toMatch(/Uid:\s+1000\s+1000/);
  // The engine's own would be a mount on the host.
  const mounts = await readFile(`/proc/${pid}/mounts`, "utf8");
  expect(mounts).toMatch(/^tmpfs \/dev\/shm tmpfs rw,nosuid,nodev,noexec,.*size=65536k/m);
  await engine.docker("exec", id, "/bin/busybox", "touch", "/dev/shm/x");
  const environment = (await readFile(`/proc/${pid}/environ`, "utf8")).split("\0");
  expect(environment).toContain(`CANARY=${CANARY}`);
  expect(environment).toEqual(
    expect.arrayContaining([
      "PORT=8080",
      "BERTH_RELEASE=v12",
      "BERTH_INSTANCE=web.1",
      `BERTH_COMMIT=${spec.commit}`,
    ]),
  );
  expect(environment.filter((entry) => entry.startsWith("TINI_"))).toEqual([]);
}, 40_000);

test("an agent that was killed adopts its containers: none restarts", async () => {
  const spec = await run({});
  await agent.waitFor(spec, (job) => job.ready);
  const startedAt = async () =>
    engine.docker("inspect", "-f", "{{.State.StartedAt}} {{.State.Pid}}", await containerOf(spec.jobId));
  const before = await startedAt();
  await agent.close();
  agent = await startTestAgent(engine, keys, { log });
  await agent.waitFor(spec, (job) => job.ready && job.restartsCount === 0);
  await agent.jobs.look();
  expect(await startedAt()).toBe(before);
}, 40_000);

test("a crash after readiness restarts with back-off, and the crashed container is removed", async () => {
  const spec = await run({});
  await agent.waitFor(spec, (job) => job.ready);
  await engine.docker("kill", await containerOf(spec.jobId));
  const again = await agent.waitFor(spec, (job) => job.ready && job.restartsCount === 1);
  expect(again.state).toBe("running");
  const crashed = agent.observed.find((job) => job.jobId === spec.jobId && job.reasonCode === "crashed");
  expect(crashed).toMatchObject({ ready: false, exitCode: 137 });
  await until("one container", async () =>
    expect((await containerOf(spec.jobId)).split("\n")).toHaveLength(1),
  );
}, 40_000);

test("an app that never listens fails with the reason and its last lines", async () => {
  const spec = await run({
    command: "echo hello from the app; sleep 60",
    readiness: { httpPath: null, deadlineMs: 1500, aliveMs: 0 },
  });
  const failed = await agent.waitFor(spec, (job) => job.state === "failed");
  expect(failed).toMatchObject({ reasonCode: "never-listened", lastLines: ["hello from the app"] });
  expect(failed.reason).toContain("nothing listened on port 8080 within 1.5 s");
  await until("no container", async () => expect(await containerOf(spec.jobId)).toBe(""));
}, 40_000);

test("an app that crashes at once fails after three tries", async () => {
  const spec = await run({ command: "echo bad config >&2; exit 3" });
  const failed = await agent.waitFor(spec, (job) => job.state === "failed");
  expect(failed).toMatchObject({
    reasonCode: "crashed",
    exitCode: 3,
    restartsCount: 2,
    lastLines: ["bad config"],
  });
}, 40_000);

test("an app that uses too much memory is told so", async () => {
  const hog = "a=xxxxxxxxxxxxxxxx; while true; do a=$a$a; done";
  const spec = await run({
    command: hog,
    resources: { memoryBytes: 16 * 1024 ** 2, cpuMillis: 1000, diskBytes: 0, pidsCount: 32 },
  });
  const failed = await agent.waitFor(spec, (job) => job.state === "failed");
  expect(failed.reasonCode).toBe("out-of-memory");
}, 40_000);

test("a child that is killed for memory is counted while its container lives on", async () => {
  const spec = await run({
    command: "(a=xxxxxxxxxxxxxxxx; while true; do a=$a$a; done); exec httpd -f -p 8080 -h /www",
    resources: { memoryBytes: 16 * 1024 ** 2, cpuMillis: 1000, diskBytes: 0, pidsCount: 32 },
  });
  await agent.waitFor(spec, (job) => job.ready);
  const id = await containerOf(spec.jobId);
  const pid = Number(await engine.docker("inspect", "-f", "{{.State.Pid}}", id));
  expect(readOomKills((await oomCounterOf(pid)) ?? "")).toBe(1);
  await until("the agent's word", async () =>
    expect(said).toContainEqual([
      "job.child-out-of-memory",
      expect.objectContaining({ containerId: id, killsCount: 1 }),
    ]),
  );
  expect(agent.newest(spec.jobId)).toMatchObject({ ready: true, restartsCount: 0 });
  // The kernel's own log says the same, and still does when the container's cgroup is gone.
  const kernelLog = new KernelOomLog();
  await kernelLog.refresh();
  if (kernelLog.isReadable) expect(kernelLog.killsOf(id)).toBe(1);
  await kernelLog.close();
}, 40_000);

test("an image that is not in the registry fails as unavailable", async () => {
  const spec = testSpec(`sha256:${"0".repeat(64)}`, REPOSITORY);
  await agent.award(spec);
  await agent.deliver(spec, {});
  const failed = await agent.waitFor(spec, (job) => job.state === "failed", 30_000);
  expect(failed.reasonCode).toBe("image-unavailable");
}, 40_000);

test("a worker process is ready after being alive", async () => {
  const spec = await run({ process: "worker", command: "sleep 60" });
  await agent.waitFor(spec, (job) => job.ready);
}, 40_000);

test("a desired set without the job stops it and forgets it; an old or partial set stops nothing", async () => {
  const spec = await run({ stopGraceMs: 1000 });
  await agent.waitFor(spec, (job) => job.ready);
  const others = agent.jobs.records().filter((record) => record.spec.jobId !== spec.jobId);
  const named = others.map(({ spec: { jobId, epoch } }) => ({ jobId, epoch, action: "run" as const }));
  agent.jobs.desire({ leaderEpoch: 1, revision: 9, whole: false, jobs: [] });
  agent.jobs.desire({ leaderEpoch: 0, revision: 9, whole: true, jobs: [] });
  expect(agent.jobs.records().every((record) => !record.stopWanted)).toBe(true);
  agent.jobs.desire({
    leaderEpoch: 1,
    revision: 10,
    whole: true,
    jobs: [...named, { jobId: spec.jobId, epoch: 1, action: "stop" }],
  });
  await agent.waitFor(spec, (job) => job.state === "finished");
  await until("forgotten", async () =>
    expect(agent.jobs.records().some((record) => record.spec.jobId === spec.jobId)).toBe(false),
  );
  expect(await containerOf(spec.jobId)).toBe("");
  await expect(readFile(`${agent.secretsFolder}/${spec.jobId}/env`)).rejects.toThrow();
}, 40_000);

test("a container reaches neither the host nor another environment nor the metadata address", async () => {
  const inside = await run({});
  const { address: neighbour } = await agent.waitFor(inside, (job) => job.ready);
  const listener = await run({ environmentId: EnvironmentId.parse(newTestId("environment")) });
  const { address } = await agent.waitFor(listener, (job) => job.ready);
  const gateway = engine.subnet.replace("0/20", "1");
  // The last two are the proof that a connection that works would be seen, and what an environment is for.
  const targets = [
    `${gateway} 5000`,
    `${engine.nodeAddress} 22`,
    `${engine.peerAddress} 22`,
    `${address} 8080`,
    "169.254.169.254 80",
    "127.0.0.1 8080",
    `${neighbour} 8080`,
  ];
  const tries = targets.map((target) => `nc -w 1 ${target} </dev/null && echo reached ${target}`);
  const spec = await run({
    process: "probe",
    command: `httpd -p 8080 -h /www; ${tries.join("; ")}; exit 7`,
    readiness: { httpPath: null, deadlineMs: 60_000, aliveMs: 60_000 },
  });
  const crashed = await agent.waitFor(spec, (job) => job.exitCode === 7, 30_000);
  expect(crashed.lastLines.filter((line) => line.startsWith("reached"))).toEqual([
    "reached 127.0.0.1 8080",
    `reached ${neighbour} 8080`,
  ]);
}, 60_000);

test("the engine is killed: the app goes on, and a crash meanwhile is mended when it is back", async () => {
  const [calm, doomed] = [await run({}), await run({})];
  const ready = await agent.waitFor(calm, (job) => job.ready);
  await agent.waitFor(doomed, (job) => job.ready);
  const id = await containerOf(doomed.jobId);
  const pid = Number(await engine.docker("inspect", "-f", "{{.State.Pid}}", id));
  await engine.killEngine();
  await expect(agent.jobs.look()).rejects.toThrow();
  expect((await fetch(`http://${ready.address}:8080/index.html`)).status).toBe(200);
  process.kill(pid, "SIGKILL");
  await engine.startEngine();
  await agent.jobs.look();
  await agent.waitFor(doomed, (job) => job.ready && job.restartsCount === 1);
  expect(agent.newest(calm.jobId)).toMatchObject({ ready: true, restartsCount: 0 });
}, 60_000);

test("a create whose answer was lost is found by its name, not repeated", async () => {
  const spec = testSpec(digest, REPOSITORY);
  // The container exists already, as after an answer that never came; the agent's index does not know it.
  const address = engine.subnet.replace(/\.\d+\/\d+$/, ".200");
  const labels = { job: spec.jobId, epoch: "1", attempt: "1", address };
  const flags = Object.entries(labels).flatMap(([name, value]) => ["--label", `berth.${name}=${value}`]);
  const image = `${engine.registry}/${REPOSITORY}@${digest}`;
  const id = await engine.docker(
    "create",
    "--name",
    `berth-${spec.jobId}-e1-a1`,
    ...["--network", "none", ...flags],
    image,
  );
  await agent.award(spec);
  await agent.deliver(spec, {});
  await agent.waitFor(spec, (job) => job.ready);
  expect(await containerOf(spec.jobId)).toBe(id.trim());
  expect(agent.newest(spec.jobId)?.address).toBe(address);
}, 40_000);

test("a single writer starts on the scheduler's word, stops when it does not come, and starts again when it does", async () => {
  const partition = {
    singleWriter: true,
    stopAfterMs: 10_000,
    replaceAfterMs: 60_000,
    onReturn: "keep-replacement" as const,
  };
  const spec = await run({ partition });
  // One that was awarded later is ready, so this one had its time.
  await agent.waitFor(await run({}), (job) => job.ready);
  // The agent of this file has seen sets already: an older one would say nothing.
  const word = async (agedMs: number) =>
    agent.jobs.desire({
      leaderEpoch: 1,
      revision: 11,
      whole: false,
      jobs: [{ jobId: spec.jobId, epoch: spec.epoch, action: "run" }],
      answersBeat: { bootId: await bootId(), monotonicMs: systemClock.monotonicMs() - agedMs },
    });
  expect(await containerOf(spec.jobId)).toBe("");
  await word(0);
  const first = await agent.waitFor(spec, (job) => job.ready);
  const ended = await agent.waitFor(spec, (job) => job.reasonCode === "lease-ended", 40_000);
  expect(ended).toMatchObject({ ready: false, address: null, restartsCount: first.restartsCount });
  const running = await engine.docker("ps", "-q", "--filter", `label=berth.job=${spec.jobId}`);
  expect(running.trim()).toBe("");
  await word(0);
  await agent.waitFor(spec, (job) => job.ready, 20_000);
}, 90_000);

test("an envelope for another job or host is refused", async () => {
  const spec = testSpec(digest, REPOSITORY);
  await agent.award(spec);
  const other = {
    hostId: keys.hostId,
    jobId: testSpec(digest, REPOSITORY).jobId,
    epoch: 1,
    variables: {},
    pullToken: "",
  };
  const envelope = {
    senderKey: keys.sender.publicKey,
    sealed: keys.sender.sealJson(other, keys.curve.publicKey),
  };
  expect(await agent.jobs.deliver(spec.jobId, 1, envelope)).toBe("unreadable");
  expect(await agent.jobs.deliver(spec.jobId, 2, envelope)).toBe("unknown-job");
});
