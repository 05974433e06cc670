/**
 * One host of the road to HTTPS: the agent's own code for edge, certificates, environments' proxies and activator before a
 * real HAProxy, real containers and the activator's own process, with all that it does by a period done more often.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { ACTIVATOR_SOCKET, type Door } from "@berth/shared/contracts/activator.ts";
import { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { systemClock } from "@berth/shared/kit/clock.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { ActivatorDesk } from "../../services/agent/src/activator/activator-desk.ts";
import { DoorFolders } from "../../services/agent/src/activator/door-folders.ts";
import { tellHostname } from "../../services/agent/src/activator/tell-hostname.ts";
import { Wakes } from "../../services/agent/src/activator/wakes.ts";
import { CertificateKeeper } from "../../services/agent/src/edge/certificate-keeper.ts";
import { createEdge } from "../../services/agent/src/edge/edge.ts";
import type { Edge } from "../../services/agent/src/edge/edge-types.ts";
import { HostRoutes } from "../../services/agent/src/edge/host-routes.ts";
import { askCertificates, keepCertificates } from "../../services/agent/src/inbound/certificates.ts";
import {
  askRouteTables,
  onRouteTableChanged,
  tellApplied,
} from "../../services/agent/src/inbound/route-tables.ts";
import type { EnvironmentProxies } from "../../services/agent/src/proxies/environment-proxies.ts";
import type { ProxiesMore, ProxyPlace } from "../../services/agent/src/testing/proxy-rig.ts";
import { type JoinedHost, until } from "../../services/api/src/testing/live-api.ts";

const LOOK_MS = 200;
const ACTIVATOR = join(import.meta.dirname, "../../services/activator/src/main.ts");

export interface EdgeHostGiven {
  readonly host: JoinedHost;
  /** Of its edge and certificates; nothing of an environment's proxies is in it. */
  readonly dir: string;
  readonly httpPort: number;
  /** As clients see it, and where it listens. */
  readonly httpsPort: number;
  readonly listenPort: number;
  readonly place: ProxyPlace;
  readonly as: NonNullable<ProxiesMore["as"]>;
  /** Environments that have a job here, now. */
  readonly jobs: () => ReadonlySet<string>;
  /** Folder in which its activator and its agent meet; null: it has none. */
  readonly activatorDir: string | null;
}

export interface EdgeHost {
  /** Environment → version that its edge and its proxies were seen to serve. */
  applied(): Record<string, number>;
  /** Its agent does nothing any more; edge and proxies run on. */
  silence(): Promise<void>;
  close(): Promise<void>;
}

export async function startEdgeHost(given: EdgeHostGiven): Promise<EdgeHost> {
  const { host, dir, httpPort, httpsPort, listenPort, place, jobs, activatorDir } = given;
  const { agent: bus, hostId, curve } = host;
  const told = { bus, hostId, clock: systemClock };
  const certificates = new CertificateKeeper({
    ...{ dir: join(dir, "certificates"), hostId, curve, log: silentLog },
    ask: (ids) => askCertificates(bus, hostId, ids),
  });
  await certificates.open();
  const edge = createEdge({
    ...{ dir, socketPath: join(dir, "haproxy.sock"), port: httpPort, bindAddress: "127.0.0.1", hostId },
    tls: { port: httpsPort, listenPort, dir: join(dir, "tls"), certificates: certificates.get },
    ...{ log: silentLog, clock: systemClock },
    acknowledged: (acknowledgements) => routes.note(acknowledgements),
  });
  const doors = activatorDir === null ? null : new DoorFolders(activatorDir);
  const proxies = place.openProxies({
    ...{ tlsPort: httpsPort, certificates: certificates.get, as: given.as },
    heldDir: async (environmentId) => (await doors?.ensure(environmentId)) ?? null,
    served: (environmentId) => routes.noteProxy(environmentId),
    changed: () => void ask(),
  });
  const routes = new HostRoutes({
    ...{ edge, proxies },
    served: (acknowledgements) => tellApplied(told, acknowledgements),
  });
  await edge.start();
  const haproxy = spawn("haproxy", ["-W", "-db", "-f", join(dir, "haproxy.cfg")], { stdio: "ignore" });
  await until("the edge's proxy answers", async () => {
    await edge.verify();
    return edge.status().reachable;
  });
  const keep = () => void keepCertificates(certificates, edge, proxies).catch(() => undefined);
  const ask = () => askRouteTables(told, routes, proxies.told()).then(keep, () => undefined);
  const activator = activatorDir === null ? null : await startActivator(host, edge, proxies, activatorDir);
  const listening = onRouteTableChanged(told, routes, keep);
  const asking = setInterval(() => {
    void proxies.round(jobs(), edge.tables()).catch(() => undefined);
    void ask();
    activator?.desk.changed();
  }, LOOK_MS);
  const silence = async () => {
    clearInterval(asking);
    await listening.close();
    await proxies.close();
  };
  return {
    applied: () => routes.applied(),
    silence,
    close: async () => {
      await silence();
      await edge.close();
      activator?.desk.close();
      await end(activator?.child);
      await end(haproxy);
    },
  };
}

/** The host itself holds nothing that sleeps: the scheduler ends a sleep. */
async function startActivator(
  { agent: bus, hostId }: JoinedHost,
  edge: Edge,
  proxies: EnvironmentProxies,
  hostDir: string,
) {
  const changed = () => desk.changed();
  const wakes = new Wakes({
    ...{ bus, hostId, log: silentLog, changed },
    ...{ wakeHere: () => false, servesHere: () => false, isBehind: () => undefined },
  });
  const siteOf = ({ hostname, environmentId }: Door) =>
    environmentId === undefined || edge.ownerOf(hostname) === environmentId ? edge.site(hostname) : undefined;
  const desk: ActivatorDesk = new ActivatorDesk({
    socketPath: join(hostDir, ACTIVATOR_SOCKET),
    log: silentLog,
    listens: (port) => void edge.setActivator(port).catch(() => undefined),
    doors: () => proxies.environments().map((id) => EnvironmentId.parse(id)),
    wake: (door) => {
      const site = siteOf(door);
      if (site?.sleep !== undefined) wakes.end(site.serviceId, site.sleep.epoch);
    },
    tell: (door) => {
      const isEnded = (id: string, epoch: number) => wakes.isEnded(id, epoch);
      return { ...tellHostname(door.hostname, siteOf(door), isEnded, []), ...door };
    },
  });
  await desk.open();
  const stateDir = join(hostDir, "activator", "state");
  mkdirSync(stateDir, { recursive: true });
  const child = spawn(process.execPath, [ACTIVATOR], {
    env: { PATH: process.env.PATH ?? "", BERTH_HOST_DIR: hostDir, BERTH_STATE_DIR: stateDir },
    stdio: "ignore",
  });
  return { desk, child };
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
}
