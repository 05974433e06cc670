/**
 * The agent of one host: wiring only. Start is recovery: ledger, containers, then the world.
 *
 * Nothing here waits for NATS: after a power cut the jobs of the ledger come back without the control plane.
 */
import { join } from "node:path";
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { type Bus, connectBus } from "@berth/shared/kit/bus.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import { runService } from "@berth/shared/kit/service.ts";
import pLimit from "p-limit";
import { AgentConfig } from "./config.ts";
import { toObserved } from "./core/job-record.ts";
import { createEdge } from "./edge/edge.ts";
import { serveAwardJobs } from "./inbound/award-jobs.ts";
import { serveDeliverEnvelope } from "./inbound/deliver-envelope.ts";
import { followEngineEvents } from "./inbound/engine-events.ts";
import { onHostDesired } from "./inbound/host-desired.ts";
import { serveAskBid, startHeartbeat } from "./inbound/host-heartbeat.ts";
import { askHostPeers, onHostPeers } from "./inbound/host-peers.ts";
import { askRouteTables, onRouteTableChanged, tellApplied } from "./inbound/route-tables.ts";
import { ContainerIndex } from "./jobs/container-index.ts";
import { HostMeter } from "./jobs/host-meter.ts";
import { ImagePuller } from "./jobs/image-puller.ts";
import { JobSet } from "./jobs/job-set.ts";
import { Reporter } from "./jobs/reporter.ts";
import { Engine } from "./outbound/docker.ts";
import { installBusybox, readCurve, readHostFile, readSeccompProfile } from "./outbound/host-files.ts";
import { HostNetwork } from "./outbound/host-network.ts";
import { Ledger } from "./outbound/ledger.ts";
import { bootId as readBootId } from "./outbound/measure.ts";
import { SecretsFolder } from "./outbound/secrets-folder.ts";

const AGENT_VERSION = "0.1.0";
const LOOK_MS = 5000;
const MEASURE_MS = 5000;
const NETWORK_VERIFY_MS = 10_000;
const ROUTES_ASK_MS = 10_000;
const ENGINE_AGAIN_MS = 1000;
const ASK_AGAIN_MS = 1000;

await runService("agent", AgentConfig, async ({ config, log, scope, clock }) => {
  const { hostDir } = config;
  const host = await readHostFile(hostDir);
  const { hostId } = host;
  const curve = await readCurve(hostDir);
  const bootId = await readBootId();

  // Outbound. HAProxy is started by the supervisor and waits for its configuration: the edge comes first.
  const bus = scope.use(
    connectBus({
      service: "agent",
      hostId,
      url: config.natsUrl,
      credsFile: config.natsCredsFile,
      caFile: config.natsCaFile,
      log,
    }),
  );
  const routes = { bus, hostId, clock };
  const edgeDir = join(hostDir, "edge");
  const edge = scope.use(
    createEdge({
      dir: edgeDir,
      socketPath: config.haproxySocket ?? join(edgeDir, "haproxy.sock"),
      port: config.edgePort,
      log,
      clock,
      acknowledged: (acknowledgements) => {
        tellApplied(routes, acknowledgements).catch((error: unknown) =>
          log.warn("routes.not-told", { error: describeError(error) }),
        );
      },
    }),
  );
  await edge.start();
  const secrets = new SecretsFolder(join(hostDir, "secrets"));
  await secrets.open();
  const ledger = new Ledger(join(hostDir, "ledger"));
  const loaded = await ledger.load();
  if (loaded.damaged.length > 0) log.error("ledger.damaged", { files: loaded.damaged });
  const busyboxFolder = await installBusybox(hostDir, config.busyboxFile);

  const engine = new Engine(config.dockerSocket, host.podId);
  const network = new HostNetwork({
    engine,
    hostId,
    nodeAddress: host.nodeAddress,
    subnet: host.subnet,
    networkName: config.networkName,
    log,
  });
  const index = new ContainerIndex();
  const meter = new HostMeter({
    engine,
    identity: {
      hostId,
      name: host.name,
      zone: host.zone,
      jobSlots: config.jobSlots,
      reservedMemoryBytes: config.reservedMemoryBytes,
      reservedDiskBytes: config.reservedDiskBytes,
    },
    memoryBytes: config.memoryBytes ?? null,
  });
  await untilEngineAnswers(log, async () => {
    await network.open();
    await meter.measure();
    await index.refresh(() => engine.list());
  });

  const measuring = scope.use(
    new Reconciler({ name: "measure", everyMs: MEASURE_MS, log, run: meter.measure }),
  );
  const reporter = scope.use(
    new Reporter({
      hostId,
      clock,
      emit: (event, payload) => bus.emit(event, payload),
      acknowledged: (seen) => jobs.noteAcknowledged(seen),
    }),
  );
  const jobs: JobSet = scope.use(
    new JobSet({
      hostId,
      podId: host.podId,
      registry: host.registry,
      bootId,
      networkName: config.networkName,
      busyboxFolder,
      seccomp: await readSeccompProfile(),
      cgroupParent: config.cgroupParent ?? null,
      engine,
      index,
      ledger,
      secrets,
      curve,
      clock,
      log,
      puller: new ImagePuller(engine, measuring.wake),
      starts: pLimit(config.startsAtOnce),
      report: (record) => reporter.report(toObserved(record)),
    }),
  );
  jobs.recover(loaded.records, loaded.leaderEpoch, await secrets.jobsWithSecrets());
  log.info("agent.recovered", { jobs: loaded.records.length, containers: index.jobs().length, bootId });

  // Inbound: every message and timer that can reach this process.
  const beats = {
    bus,
    hostId,
    jobs,
    meter,
    clock,
    bootId,
    agentStartedAtMs: clock.nowMs(),
    agentVersion: AGENT_VERSION,
    routes: () => edge.status().applied,
  };
  scope.use(serveAwardJobs({ bus, hostId, jobs, meter, log }));
  scope.use(serveDeliverEnvelope(bus, hostId, jobs));
  scope.use(serveAskBid(beats));
  scope.use(onHostDesired(bus, hostId, jobs));
  scope.use(onHostPeers(bus, network, log));
  scope.use(onRouteTableChanged(routes, edge));
  scope.use(followEngineEvents(engine, jobs, log));
  scope.use(new Reconciler({ name: "look", everyMs: LOOK_MS, log, run: () => jobs.look() }));
  scope.use(
    new Reconciler({ name: "network", everyMs: NETWORK_VERIFY_MS, log, run: () => network.verify() }),
  );
  const peers: Reconciler = scope.use(
    new Reconciler({
      name: "peers",
      everyMs: 60_000,
      log,
      run: () =>
        askWhenThere(
          bus,
          log,
          "peers",
          () => peers.wake(),
          () => askHostPeers(bus, hostId, network),
        ),
    }),
  );
  const tables: Reconciler = scope.use(
    new Reconciler({
      name: "routes",
      everyMs: ROUTES_ASK_MS,
      log,
      run: () =>
        askWhenThere(
          bus,
          log,
          "routes",
          () => tables.wake(),
          () => askRouteTables(routes, edge),
        ),
    }),
  );
  scope.use(startHeartbeat(beats));
  void bus.ready.then(() => {
    log.info("agent.on-the-bus", { hostId });
    peers.wake();
    tables.wake();
  });
});

/** A part of the control plane that is away is no error of this host: what stands stays, and it is asked again soon. */
async function askWhenThere(
  bus: Bus,
  log: Log,
  what: string,
  again: () => void,
  ask: () => Promise<void>,
): Promise<void> {
  if (!bus.connected) return;
  try {
    await ask();
  } catch (error) {
    if (!(error instanceof BerthError && error.code === "unavailable")) throw error;
    log.info("ask.unanswered", { what });
    setTimeout(again, ASK_AGAIN_MS).unref();
  }
}

/** The engine may come up after the agent, or be restarted: nothing is decided before it answered once. */
async function untilEngineAnswers(log: Log, work: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      const level = tries % 30 === 1 ? "error" : "debug";
      log[level]("engine.not-usable", { tries, error: describeError(error) });
      await sleep(ENGINE_AGAIN_MS);
    }
  }
}
