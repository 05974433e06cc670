/** All that the agent can touch of its host, opened in order: bus, edge, secrets, ledger, engine, network. */
import { join } from "node:path";
import type { HostFile } from "@berth/shared/contracts/http/api.ts";
import { type Bus, connectBus } from "@berth/shared/kit/bus.ts";
import type { Curve } from "@berth/shared/kit/curve.ts";
import type { ServiceContext } from "@berth/shared/kit/service.ts";
import type { AgentConfig } from "../config.ts";
import { CertificateKeeper } from "../edge/certificate-keeper.ts";
import { createEdge } from "../edge/edge.ts";
import type { EdgeGiven } from "../edge/edge-types.ts";
import { askCertificates } from "../inbound/certificates.ts";
import { networkAsk } from "../inbound/networks.ts";
import type { RoutesGiven } from "../inbound/route-tables.ts";
import { EngineWatch } from "../jobs/engine-watch.ts";
import { HostMeter } from "../jobs/host-meter.ts";
import { HostNetworks } from "../network/host-networks.ts";
import { PortGuard } from "../network/port-guard.ts";
import { ContainerPorts } from "../network/shell/container-port.ts";
import { Kernel } from "../network/shell/kernel.ts";
import { NetworkFiles } from "../network/shell/network-files.ts";
import { NetworkHands } from "../network/shell/network-hands.ts";
import { Prober } from "../network/shell/prober.ts";
import { QuietListeners } from "../network/shell/quiet-listeners.ts";
import { Resolvers } from "../network/shell/resolvers.ts";
import { Wireguard } from "../network/shell/wireguard.ts";
import { TunnelWatch } from "../network/tunnel-watch.ts";
import { Engine } from "../outbound/docker.ts";
import { installBusybox, readCurve, readHostFile } from "../outbound/host-files.ts";
import { Ledger, type LoadedLedger } from "../outbound/ledger.ts";
import { bootId as readBootId } from "../outbound/measure.ts";
import { SecretsFolder } from "../outbound/secrets-folder.ts";
import { ensureTmpfs } from "../outbound/tmpfs.ts";
import { type HostProxies, openProxies } from "./open-proxies.ts";

export type AgentContext = ServiceContext<typeof AgentConfig>;

export interface HostParts extends HostProxies {
  readonly host: HostFile;
  readonly curve: Curve;
  readonly bootId: string;
  readonly bus: Bus;
  readonly routes: RoutesGiven;
  readonly edge: ReturnType<typeof createEdge>;
  readonly certificates: CertificateKeeper;
  readonly secrets: SecretsFolder;
  readonly ledger: Ledger;
  readonly loaded: LoadedLedger;
  readonly busyboxFolder: string;
  readonly engine: Engine;
  readonly networks: HostNetworks;
  readonly ports: PortGuard;
  readonly wireguard: Wireguard;
  readonly tunnels: TunnelWatch;
  readonly meter: HostMeter;
  readonly watch: EngineWatch;
  /** Called when an instance or a route table changed: who waits for a sleeper is told. */
  readonly activatorChanges: Set<() => void>;
}

/** Nothing here waits for NATS or for the engine. */
export async function openHostParts(context: AgentContext): Promise<HostParts> {
  const { config, log, scope, clock } = context;
  const { hostDir } = config;
  const host = await readHostFile(hostDir);
  const { hostId } = host;
  const curve = await readCurve(hostDir);
  const bootId = await readBootId();
  const { natsUrl: url, natsCredsFile: credsFile, natsCaFile: caFile } = config;
  const bus = scope.use(connectBus({ service: "agent", hostId, url, credsFile, caFile, log }));
  // HAProxy is started by the supervisor and waits for its configuration: the edge comes first.
  const routes = { bus, hostId, clock };
  const certificates = new CertificateKeeper({
    ...{ dir: join(hostDir, "edge", "certificates"), hostId, curve, log },
    ask: (ids) => askCertificates(bus, hostId, ids),
  });
  let noteServed: HostProxies["hostRoutes"] | null = null;
  const edge = await openEdge(context, hostId, certificates, (acks) => noteServed?.note(acks));
  const secrets = new SecretsFolder(join(hostDir, "secrets"));
  await secrets.open();
  const ledger = new Ledger(join(hostDir, "ledger"));
  const loaded = await ledger.load();
  if (loaded.damaged.length > 0) log.error("ledger.damaged", { files: loaded.damaged });
  const busyboxFolder = await installBusybox(hostDir, config.busyboxFile);
  const engine = new Engine(config.dockerSocket, host.podId);
  const wireguard = new Wireguard(config.wireguardProgram ?? join(hostDir, "tools", "wireguard-go"));
  const kernel = new Kernel(log);
  const networks = createNetworks(context, host, { engine, bus, wireguard, kernel });
  const ports = createPortGuard(log, engine, kernel);
  const prober = scope.use(new Prober(() => clock.monotonicMs()));
  const tunnels = new TunnelWatch({ networks, wireguard, prober, clock, log });
  const watch = scope.use(new EngineWatch({ clock, log, reconnect: () => engine.reconnect() }));
  const served = await openProxies(context, { host, routes, edge, engine, networks, ports, certificates });
  scope.use(served.proxies);
  noteServed = served.hostRoutes;
  const meter = createMeter(context, host, engine, { watch, proxies: served.proxies });
  return {
    ...served,
    host,
    curve,
    bootId,
    bus,
    routes,
    edge,
    certificates,
    secrets,
    ledger,
    loaded,
    busyboxFolder,
    engine,
    networks,
    ports,
    wireguard,
    tunnels,
    meter,
    watch,
    activatorChanges: new Set(),
  };
}

interface NetworkParts {
  readonly engine: Engine;
  readonly bus: Bus;
  readonly wireguard: Wireguard;
  readonly kernel: Kernel;
}

function createPortGuard(log: AgentContext["log"], engine: Engine, kernel: Kernel): PortGuard {
  const found = new ContainerPorts();
  return new PortGuard({
    inspect: (containerId) => engine.inspect(containerId),
    portOf: (pid) => found.of(pid),
    ensureTable: (table) => kernel.ensureTable(table),
    changeTable: (table) => kernel.changeTable(table),
    log,
  });
}

function createNetworks(
  { config, log, clock }: AgentContext,
  host: HostFile,
  { engine, bus, wireguard, kernel }: NetworkParts,
): HostNetworks {
  const { hostDir, resolversDir, meshPort, allowedPrivate, mailRelays, leaveAfterMs } = config;
  const { hostId, podId } = host;
  const quiet = new QuietListeners(log);
  const nowMs = (): number => clock.monotonicMs();
  return new HostNetworks({
    identity: { ...host, meshPort },
    hands: new NetworkHands({ engine, kernel, wireguard, quiet, podId, nowMs, log }),
    resolvers: new Resolvers(join(resolversDir, podId), quiet),
    files: new NetworkFiles(hostDir),
    ask: networkAsk(bus, hostId),
    ...{ allowedPrivate, mailRelays, leaveAfterMs, clock, log },
  });
}

const CERTIFICATES_SIZE = "64m";

async function openEdge(
  { config, log, scope, clock }: AgentContext,
  hostId: HostFile["hostId"],
  certificates: CertificateKeeper,
  acknowledged: NonNullable<EdgeGiven["acknowledged"]>,
) {
  const dir = join(config.hostDir, "edge");
  const tlsDir = join(dir, "tls");
  await ensureTmpfs(tlsDir, "berth-certificates", CERTIFICATES_SIZE);
  await certificates.open();
  const edge = scope.use(
    createEdge({
      dir,
      socketPath: config.haproxySocket ?? join(dir, "haproxy.sock"),
      port: config.edgePort,
      tls: { port: config.edgeTlsPort, dir: tlsDir, certificates: certificates.get },
      trustedProxies: config.trustedProxies,
      ...{ hostId, log, clock, acknowledged },
    }),
  );
  await edge.start();
  return edge;
}

function createMeter(
  { config, clock, log }: AgentContext,
  host: HostFile,
  engine: Engine,
  { watch, proxies }: { watch: EngineWatch; proxies: HostProxies["proxies"] },
): HostMeter {
  return new HostMeter({
    engine,
    identity: {
      hostId: host.hostId,
      name: host.name,
      zone: host.zone,
      jobSlots: config.jobSlots,
      get reservedMemoryBytes() {
        return config.reservedMemoryBytes + proxies.memoryBytes;
      },
      reservedDiskBytes: config.reservedDiskBytes,
      diskAlarmPercent: config.diskAlarmPercent,
      limits: { networksCount: config.networksCount, bridgePortsCount: config.bridgePortsCount },
    },
    memoryBytes: config.memoryBytes ?? null,
    cgroupParent: config.cgroupParent ?? null,
    clock,
    log,
    isStuck: watch.isStuck,
  });
}
