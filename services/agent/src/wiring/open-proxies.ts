/** Environments' proxies and the edge as one, wired to the host's engine, networks and activator. */
import { join } from "node:path";
import { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { DoorFolders } from "../activator/door-folders.ts";
import type { CertificateKeeper } from "../edge/certificate-keeper.ts";
import type { Edge } from "../edge/edge-types.ts";
import { HostRoutes } from "../edge/host-routes.ts";
import { type RoutesGiven, tellApplied } from "../inbound/route-tables.ts";
import type { HostNetworks } from "../network/host-networks.ts";
import type { PortGuard } from "../network/port-guard.ts";
import type { Engine } from "../outbound/docker.ts";
import { ProxyEngine } from "../outbound/engine-proxies.ts";
import { readSeccompProfile } from "../outbound/host-files.ts";
import { EnvironmentProxies } from "../proxies/environment-proxies.ts";
import type { ProxyNetwork } from "../proxies/proxies-given.ts";
import { ProxyImage } from "../proxies/shell/proxy-image.ts";
import type { AgentContext } from "./host-parts.ts";

export interface ProxiesGiven {
  readonly host: { readonly podId: string; readonly hostId: RoutesGiven["hostId"] };
  readonly routes: RoutesGiven;
  readonly edge: Edge;
  readonly engine: Engine;
  readonly networks: HostNetworks;
  readonly ports: PortGuard;
  readonly certificates: CertificateKeeper;
}

export interface HostProxies {
  readonly proxies: EnvironmentProxies;
  readonly hostRoutes: HostRoutes;
  readonly doors: DoorFolders;
  /** Called when the router is to be told, or certificates are to be asked for. */
  readonly proxyChanges: Set<() => void>;
}

export async function openProxies(
  { config, log, clock }: AgentContext,
  { host, routes, edge, engine, networks, ports, certificates }: ProxiesGiven,
): Promise<HostProxies> {
  const proxyEngine = new ProxyEngine(config.dockerSocket, host.podId);
  const doors = new DoorFolders(config.hostDir);
  const proxyChanges = new Set<() => void>();
  const proxies: EnvironmentProxies = new EnvironmentProxies({
    ...{ ...host, engine, proxyEngine, clock, log },
    dir: join(config.hostDir, "proxies"),
    image: new ProxyImage(proxyEngine),
    tlsPort: config.edgeTlsPort,
    certificates: certificates.get,
    accessLog: true,
    seccomp: await readSeccompProfile(),
    cgroupParent: config.cgroupParent ?? null,
    network: (environmentId) => networkOf(networks, environmentId),
    addresses: (addresses) => networks.setProxies(addresses),
    heldDir: (environmentId) => doors.ensure(environmentId),
    started: async (containerId) => {
      const seen = await engine.inspect(containerId);
      if (seen !== null) await ports.note(containerId, seen);
    },
    served: (environmentId) => hostRoutes.noteProxy(environmentId),
    changed: () => {
      for (const told of proxyChanges) told();
    },
  });
  const served = (acknowledgements: Parameters<typeof tellApplied>[1]) =>
    tellApplied(routes, acknowledgements);
  const hostRoutes: HostRoutes = new HostRoutes({ edge, proxies, served });
  return { proxies, hostRoutes, doors, proxyChanges };
}

async function networkOf(networks: HostNetworks, id: string): Promise<ProxyNetwork> {
  const environmentId = EnvironmentId.parse(id);
  const { networkName } = await networks.ensure(environmentId);
  const desired = networks.desired();
  const network = desired?.networks.find((one) => one.environmentId === environmentId);
  if (desired === null || network === undefined) throw new Error(`this host is not in the network of ${id}`);
  const { slice, gateway } = network;
  return { networkName, slice, gateway, hostCidr: desired.hostCidr };
}
