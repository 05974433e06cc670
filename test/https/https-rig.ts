/**
 * The road of a custom domain to HTTPS: the real CLI, API, secrets, router, PostgreSQL, NATS and a name server; two hosts with
 * their real permissions, each with the agent's own edge code before a real HAProxy. Clients come to the first. The second
 * has the environment's job, and on a real engine its proxy, in which HTTPS of the environment's own names ends.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { CertificateId, EnvironmentId } from "@berth/shared/domain/ids.ts";
import { systemClock } from "@berth/shared/kit/clock.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import { CertificateKeeper } from "../../services/agent/src/edge/certificate-keeper.ts";
import { createEdge } from "../../services/agent/src/edge/edge.ts";
import { HostRoutes } from "../../services/agent/src/edge/host-routes.ts";
import { askCertificates, keepCertificates } from "../../services/agent/src/inbound/certificates.ts";
import {
  askRouteTables,
  onRouteTableChanged,
  tellApplied,
} from "../../services/agent/src/inbound/route-tables.ts";
import { type ProxyPlace, startProxyPlace } from "../../services/agent/src/testing/proxy-rig.ts";
import { type JoinedHost, LiveApi, until } from "../../services/api/src/testing/live-api.ts";

export interface HttpsRig {
  readonly api: LiveApi;
  /** Of the first host's edge and its certificates. */
  readonly dir: string;
  /** What is in the second host's folders but those in memory. */
  readonly dirOfProxies: string;
  readonly place: ProxyPlace;
  /** Ids of those that the secrets service gives the first host, which has no job of the environment, of the named ones. */
  givenToFront(certificateIds: readonly string[]): Promise<string[]>;
  readonly httpPort: number;
  readonly httpsPort: number;
  close(): Promise<void>;
}

const LOOK_MS = 200;

/**
 * @param prepare what the router's environment needs; it may start what has to be there before
 * @param app what the service runs; ended with the rig
 */
export async function startHttpsRig(
  prepare: (given: { httpPort: number; dnsServer: string }) => Promise<Readonly<Record<string, string>>>,
  app: Server = createServer((req, res) => res.end(JSON.stringify(req.headers))),
): Promise<HttpsRig> {
  const api = await LiveApi.start();
  const ports = { httpPort: await freePort(), httpsPort: await freePort() };
  await api.berth(["services", "create", "shop"]);
  await api.startRouter(await prepare({ httpPort: ports.httpPort, dnsServer: api.pod.dns.address }));
  const front = await api.joinHost("h1");
  const member = await api.joinHost("h2");
  const { environmentId } = await api.idsOf("shop");
  const place = await startProxyPlace(EnvironmentId.parse(environmentId), member.hostId);
  const { address } = await place.startApp(app);
  await storeInstance(api, front, member, { ...place, environmentId, address });
  const [dir, dirOfProxies] = [mkdtempSync("/tmp/berth-https-"), mkdtempSync("/tmp/berth-https-")];
  const edge = await startEdge(front, dir, ports, null);
  const { httpsPort } = ports;
  const others = { httpPort: await freePort(), httpsPort };
  const edgeOfMember = await startEdge(member, dirOfProxies, others, { place, environmentId });
  return {
    ...{ api, dir, dirOfProxies, place, ...ports },
    givenToFront: async (certificateIds) => {
      const ids = certificateIds.map((id) => CertificateId.parse(id));
      const given = await askCertificates(front.agent, front.hostId, ids);
      return given.map(({ certificateId }) => certificateId);
    },
    close: async () => {
      await edge.close();
      await edgeOfMember.close();
      app.closeAllConnections();
      app.close();
      await place.close();
      await api.close();
      for (const path of [dir, dirOfProxies]) rmSync(path, { recursive: true, force: true });
    },
  };
}

async function storeInstance(
  api: LiveApi,
  front: JoinedHost,
  member: JoinedHost,
  { slice, environmentId, address }: { slice: string; environmentId: string; address: string },
): Promise<void> {
  const { orgId, serviceId } = await api.idsOf("shop");
  for (const { hostId } of [front, member])
    await api.admin.query(
      "insert into scheduler.hosts_seen (host_id, state, last_heartbeat_at, boot_id, heartbeat) values ($1,'alive',now(),'boot','{}')",
      [hostId],
    );
  await api.admin.query("insert into network.environments (environment_id, subnet) values ($1,$2)", [
    ...[environmentId, slice],
  ]);
  await api.admin.query(
    "insert into network.members (environment_id, host_id, slice, port, public_key) values ($1,$2,$3,21000,'key')",
    [environmentId, member.hostId, slice],
  );
  await api.admin.query(
    `insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, state, rotation, ready, host_id, address, port)
     values ($1,$2,$3,$4,'rel','dep','web',1,'{}','running','in',true,$5,$6,8080)`,
    [newId("job"), orgId, environmentId, serviceId, member.hostId, address],
  );
}

/** As the agent wires it, with all that it does by a period done more often. */
async function startEdge(
  { agent: bus, hostId, curve }: JoinedHost,
  dir: string,
  { httpPort, httpsPort }: { httpPort: number; httpsPort: number },
  own: { readonly place: ProxyPlace; readonly environmentId: string } | null,
) {
  const told = { bus, hostId, clock: systemClock };
  const certificates = new CertificateKeeper({
    ...{ dir: join(dir, "certificates"), hostId, curve, log: silentLog },
    ask: (ids) => askCertificates(bus, hostId, ids),
  });
  await certificates.open();
  const edge = createEdge({
    ...{ dir, socketPath: join(dir, "haproxy.sock"), port: httpPort, bindAddress: "127.0.0.1", hostId },
    tls: {
      ...{ port: httpsPort, dir: join(dir, "tls"), certificates: certificates.get },
      ...(own === null ? {} : { listenPort: await freePort() }),
    },
    ...{ log: silentLog, clock: systemClock },
    acknowledged: (acknowledgements) => routes.note(acknowledgements),
  });
  const proxies = own?.place.openProxies({
    ...{ tlsPort: httpsPort, certificates: certificates.get },
    served: (environmentId) => routes.noteProxy(environmentId),
    changed: () => void ask(),
  });
  const routes = new HostRoutes({
    ...{ edge, proxies: proxies ?? NO_PROXIES },
    served: (acknowledgements) => tellApplied(told, acknowledgements),
  });
  await edge.start();
  const proxy = spawn("haproxy", ["-W", "-db", "-f", join(dir, "haproxy.cfg")], { stdio: "ignore" });
  await until("the edge's proxy answers", async () => {
    await edge.verify();
    return edge.status().reachable;
  });
  const keep = () => void keepCertificates(certificates, edge, proxies ?? NO_PROXIES).catch(() => undefined);
  const ask = () => askRouteTables(told, routes, proxies?.told()).then(keep, () => undefined);
  const listening = onRouteTableChanged(told, routes, keep);
  const asking = setInterval(() => {
    void proxies?.round(new Set([own?.environmentId ?? ""]), edge.tables()).catch(() => undefined);
    void ask();
  }, LOOK_MS);
  return {
    close: async () => {
      clearInterval(asking);
      await listening.close();
      await edge.close();
      await proxies?.close();
      const ended = once(proxy, "exit");
      proxy.kill("SIGTERM");
      await ended;
    },
  };
}

/** Of a host without jobs. */
const NO_PROXIES = {
  apply: async () => undefined,
  verify: async () => undefined,
  gate: (_: string, version: number) => version,
  traffic: async () => [],
  certificateIds: () => new Set<string>(),
};
