/** The agent's jobs on a real engine, without the bus: what main.ts wires, with observations kept in a list. */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { JobSpec, ObservedJob } from "@berth/shared/contracts/job.ts";
import { HostId } from "@berth/shared/domain/ids.ts";
import { NO_CONSTRAINTS } from "@berth/shared/domain/placement.ts";
import { DEFAULT_RESOURCES, MIB } from "@berth/shared/domain/resources.ts";
import { DEFAULT_PARTITION_POLICY } from "@berth/shared/domain/service-policy.ts";
import { systemClock } from "@berth/shared/kit/clock.ts";
import { type Curve, createCurve } from "@berth/shared/kit/curve.ts";
import { type Log, silentLog } from "@berth/shared/kit/log.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import { type TestEngine, until } from "@berth/shared/testing/real-engine.ts";
import { toObserved } from "../core/job-record.ts";
import type { CeilingLimits } from "../core/measure-ceilings.ts";
import { followEngineEvents } from "../inbound/engine-events.ts";
import { ContainerIndex } from "../jobs/container-index.ts";
import { HostMeter } from "../jobs/host-meter.ts";
import { ImagePuller } from "../jobs/image-puller.ts";
import { JobSet } from "../jobs/job-set.ts";
import { LeaseKeeper } from "../jobs/lease-keeper.ts";
import { StartGate } from "../jobs/start-gate.ts";
import { ContainerCables } from "../network/container-cables.ts";
import { HostNetworks } from "../network/host-networks.ts";
import { Kernel } from "../network/shell/kernel.ts";
import { NetworkFiles } from "../network/shell/network-files.ts";
import { NetworkHands } from "../network/shell/network-hands.ts";
import { QuietListeners } from "../network/shell/quiet-listeners.ts";
import { Resolvers } from "../network/shell/resolvers.ts";
import { Wireguard } from "../network/shell/wireguard.ts";
import { Engine } from "../outbound/docker.ts";
import type { EngineDeadlines } from "../outbound/engine-call.ts";
import { installBusybox, readSeccompProfile } from "../outbound/host-files.ts";
import { LeaseFile } from "../outbound/lease-file.ts";
import { Ledger } from "../outbound/ledger.ts";
import { bootId } from "../outbound/measure.ts";
import { KernelOomLog } from "../outbound/oom-kills.ts";
import { SecretsFolder } from "../outbound/secrets-folder.ts";
import { newTestId } from "./ids.ts";
import { ENVIRONMENT_ID, testIdentity, testNetworkService } from "./test-network.ts";

export const POD_ID = "pod-test";

export interface TestAgent {
  readonly jobs: JobSet;
  readonly meter: HostMeter;
  readonly networks: HostNetworks;
  readonly puller: ImagePuller;
  readonly index: ContainerIndex;
  readonly secretsFolder: string;
  readonly observed: ObservedJob[];
  newest(jobId: string): ObservedJob | undefined;
  award(...specs: JobSpec[]): Promise<readonly { refusal: unknown }[]>;
  deliver(spec: JobSpec, variables: Record<string, string>): Promise<string>;
  waitFor(spec: JobSpec, isSo: (job: ObservedJob) => boolean, timeoutMs?: number): Promise<ObservedJob>;
  close(): Promise<void>;
}

/** What a test may set otherwise. */
export interface AgentSettings {
  readonly jobSlots?: number;
  readonly memoryBytes?: number;
  readonly limits?: CeilingLimits;
  readonly starts?: Pick<StartGate, "run">;
  readonly deadlines?: EngineDeadlines;
  /** Without it nobody lists but who calls `jobs.look`. */
  readonly lookEveryMs?: number;
  /** Another host in every environment but the first: each has a tunnel. */
  readonly sharesEnvironments?: boolean;
  /** Of a kernel without WireGuard: the program. */
  readonly wireguardProgram?: string;
  readonly log?: Log;
}

export interface AgentKeys {
  readonly hostId: HostId;
  readonly curve: Curve;
  readonly sender: Curve;
}

export function newKeys(): AgentKeys {
  return { hostId: HostId.parse(newTestId("host")), curve: createCurve(), sender: createCurve() };
}

export async function startTestAgent(
  engineGiven: TestEngine,
  keys: AgentKeys,
  settings: AgentSettings = {},
): Promise<TestAgent> {
  const { log = silentLog, lookEveryMs } = settings;
  const hostDir = join(engineGiven.folder, "host");
  await mkdir(hostDir, { recursive: true });
  const { hostId } = keys;
  const engine = new Engine(engineGiven.socket, POD_ID, settings.deadlines);
  const networks = new HostNetworks({
    identity: testIdentity(engineGiven, hostId),
    hands: new NetworkHands({
      engine,
      kernel: new Kernel(silentLog, engineGiven.commandPrefix),
      wireguard: new Wireguard(settings.wireguardProgram ?? "wireguard-go", engineGiven.commandPrefix),
      quiet: new QuietListeners(silentLog),
      podId: POD_ID,
      nowMs: () => performance.now(),
      log: silentLog,
    }),
    resolvers: new Resolvers(join(engineGiven.folder, "resolvers"), null, engineGiven.commandPrefix),
    files: new NetworkFiles(hostDir),
    ask: testNetworkService(engineGiven, hostId, settings.sharesEnvironments),
    ...{ allowedPrivate: [], mailRelays: [], leaveAfterMs: 3_600_000, clock: systemClock, log: silentLog },
  });
  await networks.open();
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
      jobSlots: settings.jobSlots ?? 20,
      reservedMemoryBytes: 0,
      reservedDiskBytes: 0,
      diskAlarmPercent: 100,
      limits: settings.limits ?? { networksCount: 500, bridgePortsCount: 1000 },
    },
    memoryBytes: settings.memoryBytes ?? 1024 * MIB,
    cgroupParent: null,
    commandPrefix: engineGiven.commandPrefix,
    clock: systemClock,
    log: silentLog,
  });
  await meter.measure();
  const observed: ObservedJob[] = [];
  const puller = new ImagePuller(engine, () => {});
  const oomLog = new KernelOomLog();
  const jobs: JobSet = new JobSet({
    hostId,
    podId: POD_ID,
    registry: engineGiven.registry,
    bootId: await bootId(),
    networks,
    cables: new ContainerCables({
      usedBeside: (jobId) => index.addressesBeside(jobId),
      prefix: engineGiven.commandPrefix,
    }),
    // Whose containers are whose is asked in the agent's own /proc, which is not that of this engine.
    ports: { note: async () => {} },
    busyboxFolder: await installBusybox(hostDir, "/bin/busybox"),
    seccomp: await readSeccompProfile(),
    cgroupParent: null,
    engine,
    index,
    ledger,
    leases: new LeaseKeeper({
      file: new LeaseFile(join(hostDir, "leases.json"), await bootId()),
      bootId: await bootId(),
      monotonicMs: systemClock.monotonicMs,
      log: silentLog,
    }),
    secrets,
    curve: keys.curve,
    clock: systemClock,
    log,
    puller,
    starts: settings.starts ?? new StartGate(systemClock, 8),
    oomLog,
    hostState: (records) => meter.state(records),
    report: (record) => {
      observed.push(toObserved(record));
      setImmediate(() => jobs.noteAcknowledged(toObserved(record)));
    },
  });
  jobs.recover(loaded.records, loaded.leaderEpoch, await secrets.jobsWithSecrets());
  const events = followEngineEvents(engine, jobs, log);
  const looking =
    lookEveryMs === undefined
      ? null
      : new Reconciler({
          name: "look",
          everyMs: lookEveryMs,
          log,
          run: async () => {
            if ((await jobs.look()) > 0) events.suspect();
          },
        });
  const newest = (jobId: string) => observed.filter((job) => job.jobId === jobId).at(-1);
  return {
    jobs,
    meter,
    networks,
    puller,
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
      await looking?.close();
      await jobs.close();
      await oomLog.close();
    },
  };
}

export function testSpec(digest: string, repository: string, patch: Partial<JobSpec> = {}): JobSpec {
  const ids = {
    jobId: newTestId("job"),
    orgId: newTestId("org"),
    environmentId: ENVIRONMENT_ID,
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
    partition: DEFAULT_PARTITION_POLICY,
    readiness: { httpPath: null, deadlineMs: 10_000, aliveMs: 200 },
    stopGraceMs: 2000,
    configVersion: 1,
    task: null,
    traceparent: null,
    ...patch,
  };
  return spec as unknown as JobSpec;
}
