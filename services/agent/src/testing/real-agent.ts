/** The agent's jobs on a real engine, without the bus: what main.ts wires, with observations kept in a list. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { JobSpec, ObservedJob } from "@berth/shared/contracts/job.ts";
import { HostId } from "@berth/shared/domain/ids.ts";
import { NO_CONSTRAINTS } from "@berth/shared/domain/placement.ts";
import { DEFAULT_RESOURCES, MIB } from "@berth/shared/domain/resources.ts";
import { systemClock } from "@berth/shared/kit/clock.ts";
import { type Curve, createCurve } from "@berth/shared/kit/curve.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { type TestEngine, until } from "@berth/shared/testing/real-engine.ts";
import pLimit from "p-limit";
import { toObserved } from "../core/job-record.ts";
import { followEngineEvents } from "../inbound/engine-events.ts";
import { ContainerIndex } from "../jobs/container-index.ts";
import { HostMeter } from "../jobs/host-meter.ts";
import { ImagePuller } from "../jobs/image-puller.ts";
import { JobSet } from "../jobs/job-set.ts";
import { Engine } from "../outbound/docker.ts";
import { installBusybox, readSeccompProfile } from "../outbound/host-files.ts";
import { HostNetwork } from "../outbound/host-network.ts";
import { Ledger } from "../outbound/ledger.ts";
import { bootId } from "../outbound/measure.ts";
import { SecretsFolder } from "../outbound/secrets-folder.ts";
import { newTestId } from "./ids.ts";

export const POD_ID = "pod-test";

export interface TestAgent {
  readonly jobs: JobSet;
  readonly meter: HostMeter;
  readonly index: ContainerIndex;
  readonly secretsFolder: string;
  readonly observed: ObservedJob[];
  newest(jobId: string): ObservedJob | undefined;
  award(...specs: JobSpec[]): Promise<readonly { refusal: unknown }[]>;
  deliver(spec: JobSpec, variables: Record<string, string>): Promise<string>;
  waitFor(spec: JobSpec, isSo: (job: ObservedJob) => boolean, timeoutMs?: number): Promise<ObservedJob>;
  close(): Promise<void>;
}

export interface AgentKeys {
  readonly hostId: HostId;
  readonly curve: Curve;
  readonly sender: Curve;
}

export function newKeys(): AgentKeys {
  return { hostId: HostId.parse(newTestId("host")), curve: createCurve(), sender: createCurve() };
}

export async function startTestAgent(engineGiven: TestEngine, keys: AgentKeys): Promise<TestAgent> {
  const hostDir = join(engineGiven.folder, "host");
  await mkdir(hostDir, { recursive: true });
  const { hostId } = keys;
  const engine = new Engine(engineGiven.socket, POD_ID);
  const network = new HostNetwork({
    engine,
    hostId,
    nodeAddress: engineGiven.nodeAddress,
    subnet: engineGiven.subnet,
    networkName: "berth0",
    commandPrefix: engineGiven.commandPrefix,
    log: silentLog,
  });
  await network.open();
  const peer = { hostId: newTestId("host"), nodeAddress: engineGiven.peerAddress, subnet: "10.95.0.0/24" };
  await network.setPeers(1, [peer]);
  const secrets = new SecretsFolder(join(hostDir, "secrets"));
  await secrets.open();
  const ledger = new Ledger(join(hostDir, "ledger"));
  const loaded = await ledger.load();
  const index = new ContainerIndex();
  await index.refresh(() => engine.list());
  const meter = new HostMeter({
    engine,
    identity: {
      hostId,
      name: "test",
      zone: "default",
      jobSlots: 20,
      reservedMemoryBytes: 0,
      reservedDiskBytes: 0,
    },
    memoryBytes: 1024 * MIB,
  });
  await meter.measure();
  const observed: ObservedJob[] = [];
  const jobs: JobSet = new JobSet({
    hostId,
    podId: POD_ID,
    registry: engineGiven.registry,
    bootId: await bootId(),
    networkName: "berth0",
    busyboxFolder: await installBusybox(hostDir, "/bin/busybox"),
    seccomp: await readSeccompProfile(),
    cgroupParent: null,
    engine,
    index,
    ledger,
    secrets,
    curve: keys.curve,
    clock: systemClock,
    log: silentLog,
    puller: new ImagePuller(engine, () => {}),
    starts: pLimit(4),
    report: (record) => {
      observed.push(toObserved(record));
      setImmediate(() => jobs.noteAcknowledged(toObserved(record)));
    },
  });
  jobs.recover(loaded.records, loaded.leaderEpoch, await secrets.jobsWithSecrets());
  const events = followEngineEvents(engine, jobs, silentLog);
  const newest = (jobId: string) => observed.filter((job) => job.jobId === jobId).at(-1);
  return {
    jobs,
    meter,
    index,
    observed,
    newest,
    secretsFolder: join(hostDir, "secrets"),
    award: (...specs) =>
      jobs.award({ leaderEpoch: 1, leaseExpiresAtMs: Date.now() + 10_000, jobs: specs }, () =>
        meter.state(jobs.records()),
      ),
    deliver: (spec, variables) => {
      const { jobId, epoch } = spec;
      const sealed = keys.sender.sealJson(
        { hostId, jobId, epoch, variables, pullToken: "" },
        keys.curve.publicKey,
      );
      return jobs.deliver(jobId, epoch, { senderKey: keys.sender.publicKey, sealed });
    },
    waitFor: async (spec, isSo, timeoutMs = 20_000) => {
      await until(
        `${spec.process} as expected; seen ${JSON.stringify(newest(spec.jobId))}`,
        async () => {
          const job = newest(spec.jobId);
          if (job === undefined || !isSo(job)) throw new Error(`seen: ${JSON.stringify(job)}`);
        },
        timeoutMs,
      );
      return newest(spec.jobId) as ObservedJob;
    },
    close: async () => {
      events.close();
      await jobs.close();
    },
  };
}

export function testSpec(digest: string, repository: string, patch: Partial<JobSpec> = {}): JobSpec {
  const ids = {
    jobId: newTestId("job"),
    orgId: newTestId("org"),
    environmentId: newTestId("environment"),
    serviceId: newTestId("service"),
    releaseId: newTestId("release"),
    deployId: newTestId("deploy"),
  };
  const spec = {
    ...ids,
    epoch: 1,
    serviceName: "shop",
    environmentName: "production",
    releaseVersion: 12,
    commit: "a".repeat(40),
    process: "web",
    slot: 1,
    command: "",
    image: { repository, digest, bytes: 1_000_000 },
    profile: { port: 8080, rootFilesystem: "read-only", runsAsRoot: false },
    resources: { ...DEFAULT_RESOURCES, memoryBytes: 64 * MIB },
    constraints: NO_CONSTRAINTS,
    readiness: { httpPath: null, deadlineMs: 10_000, aliveMs: 200 },
    stopGraceMs: 2000,
    configVersion: 1,
    traceparent: null,
    ...patch,
  };
  return spec as unknown as JobSpec;
}
