/** The agent as a process, with no control plane at all: killed, and after a power cut. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { HostFile } from "@berth/shared/contracts/http/api.ts";
import { startTestEngine, type TestEngine, until } from "@berth/shared/testing/real-engine.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { envelopeTaken, type JobRecord, newRecord } from "./core/job-record.ts";
import { Ledger } from "./outbound/ledger.ts";
import { runCommand } from "./outbound/run-command.ts";
import { newKeys, POD_ID, testSpec } from "./testing/real-agent.ts";
import { writeTestNetwork } from "./testing/test-network.ts";

const REPOSITORY = "org_test/svc_test";
const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url));
let engine: TestEngine;
let hostDir: string;
let agent: ChildProcess | undefined;

beforeAll(async () => {
  engine = await startTestEngine((process.pid % 30) + 190);
  hostDir = join(engine.folder, "host");
  await mkdir(join(hostDir, "ledger"), { recursive: true });
}, 60_000);

afterAll(async () => {
  await endAgent("SIGTERM");
  await engine?.close();
}, 60_000);

async function startAgent(): Promise<void> {
  const env = {
    PATH: process.env.PATH ?? "",
    BERTH_HOST_DIR: hostDir,
    BERTH_DOCKER_SOCKET: engine.socket,
    // Nobody listens there: the bus stays away for the whole test.
    BERTH_NATS_URL: "tls://127.0.0.1:9",
    BERTH_NATS_CREDS: join(hostDir, "agent.creds"),
    BERTH_NATS_CA: join(hostDir, "ca.crt"),
    BERTH_EDGE_PORT: "18000",
    BERTH_EDGE_TLS_PORT: "18443",
    BERTH_AGENT_RESOLVERS_DIR: join(engine.folder, "resolvers"),
  };
  const [program = "", ...prefix] = engine.commandPrefix;
  // nsenter becomes node: the pid is the agent's own.
  agent = spawn(program, [...prefix, process.execPath, MAIN], { env, stdio: ["ignore", "pipe", "ignore"] });
  let said = "";
  agent.stdout?.on("data", (chunk: Buffer) => {
    said += chunk.toString("utf8");
  });
  await until("an agent that recovered", async () => expect(said).toContain("service.ready"));
}

async function endAgent(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  const process = agent;
  agent = undefined;
  if (process === undefined || process.exitCode !== null) return;
  const ended = new Promise((resolve) => process.once("exit", resolve));
  process.kill(signal);
  await ended;
}

async function ledgerRecord(jobId: string): Promise<JobRecord> {
  return JSON.parse(await readFile(join(hostDir, "ledger", `${jobId}.json`), "utf8")) as JobRecord;
}

async function writeHost(keys: ReturnType<typeof newKeys>): Promise<void> {
  const host: HostFile = HostFile.parse({
    hostId: keys.hostId,
    name: "test",
    podId: POD_ID,
    nodeAddress: engine.nodeAddress,
    subnet: engine.subnet,
    zone: "default",
    natsUrl: "tls://127.0.0.1:9",
    registry: engine.registry,
    podDomain: "berth.localhost",
  });
  await writeFile(join(hostDir, "host.json"), JSON.stringify(host));
  await writeFile(join(hostDir, "curve.seed"), keys.curve.seed());
  const creds = `-----BEGIN NATS USER JWT-----\ne30.e30.e30\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${`SU${"A".repeat(56)}`}\n------END USER NKEY SEED------\n`;
  await writeFile(join(hostDir, "agent.creds"), creds);
  await writeFile(join(hostDir, "ca.crt"), "");
}

async function readyAgain(jobId: string, attempt: number): Promise<JobRecord> {
  await until(`ready in attempt ${attempt}`, async () =>
    expect(await ledgerRecord(jobId)).toMatchObject({ ready: true, attempt }),
  );
  return ledgerRecord(jobId);
}

const containers = (format: string) => engine.docker("ps", "-a", "--no-trunc", "--format", format);
const startedAt = async () =>
  engine.docker("inspect", "-f", "{{.Id}} {{.State.StartedAt}}", (await containers("{{.ID}}")).trim());

test("the ledger alone brings a job up; kill -9 does not touch it; a power cut starts it again", async () => {
  const keys = newKeys();
  await writeHost(keys);
  const digest = await engine.pushImage(REPOSITORY, [
    "USER app",
    'CMD ["httpd","-f","-p","8080","-h","/www"]',
  ]);
  // A worker: its readiness needs no way from here to the container.
  const spec = testSpec(digest, REPOSITORY, { process: "worker" });
  const { jobId, epoch } = spec;
  await writeTestNetwork(engine, hostDir, keys.hostId, spec.environmentId);
  const clear = { hostId: keys.hostId, jobId, epoch, variables: { SECRET: "s3cr3t" }, pullToken: "" };
  const envelope = {
    senderKey: keys.sender.publicKey,
    sealed: keys.sender.sealJson(clear, keys.curve.publicKey),
  };
  await new Ledger(join(hostDir, "ledger")).save(
    envelopeTaken(newRecord(spec, Date.now(), "an-earlier-boot"), envelope, Date.now()),
  );

  await startAgent();
  await readyAgain(jobId, 1);
  const before = await startedAt();

  await endAgent("SIGKILL");
  await startAgent();
  await until("the edge's file", () => readFile(join(hostDir, "edge", "haproxy.cfg")));
  await until("an adopting agent", async () =>
    expect(await runCommand(["ls", join(hostDir, "secrets", jobId)])).toContain("env"),
  );
  const { sequence, address } = await readyAgain(jobId, 1);
  expect(await startedAt()).toBe(before);

  // Power cut: agent and container gone at once, tmpfs empty, another boot id.
  await endAgent("SIGKILL");
  await engine.docker("kill", (await containers("{{.ID}}")).trim());
  for (const folder of ["secrets", "edge/tls"]) await runCommand(["umount", join(hostDir, folder)]);
  const path = join(hostDir, "ledger", `${jobId}.json`);
  await writeFile(
    path,
    (await readFile(path, "utf8")).replaceAll(/"bootId":"[^"]+"/g, '"bootId":"before-the-cut"'),
  );
  const recoveryPath = join(hostDir, "recovery.json");
  expect(JSON.parse(await readFile(recoveryPath, "utf8"))).toMatchObject({
    report: { cause: "agent-restart", jobs: 1, adopted: 1, restarted: 0, problems: [] },
  });
  const report = (await readFile(recoveryPath, "utf8")).replace(
    /"bootId": "[^"]+"/,
    '"bootId": "before-the-cut"',
  );
  await writeFile(recoveryPath, report);
  // Left over: a container that never ran, of a job in no ledger, and a network of another configuration.
  const image = `${engine.registry}/${REPOSITORY}@${digest}`;
  const unknown = ["berth.job=job_x", `berth.pod=${POD_ID}`].flatMap((label) => ["--label", label]);
  await engine.docker("create", "--network", "none", ...unknown, image);
  await engine.docker("network", "create", "--label", "berth.network=jobs", "oldberth");
  await writeFile(join(hostDir, "ledger", "torn.json.new"), "{");
  await writeFile(join(hostDir, "ledger", "bad.json"), "{");

  await startAgent();
  const after = await readyAgain(jobId, 2);
  // Edges without a control plane know no other address of it.
  expect(after).toMatchObject({ restartsCount: 0, crashesInRow: 0, address });
  expect(after.sequence).toBeGreaterThan(sequence);
  await until("one container", async () => expect((await containers("{{.State}}")).trim()).toBe("running"));
  expect(await readFile(path, "utf8")).not.toContain("s3cr3t");
  await until("the report of all that was done", async () =>
    expect(JSON.parse(await readFile(recoveryPath, "utf8")).report).toMatchObject({
      ...{ cause: "reboot", jobs: 1, adopted: 0, restarted: 1, removed: 3 },
      problems: [expect.stringContaining("bad.json")],
      readyAfterMs: expect.any(Number),
    }),
  );
  expect(await engine.docker("network", "ls", "--format", "{{.Name}}")).not.toContain("oldberth");
}, 90_000);
