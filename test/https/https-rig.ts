/**
 * The road of a custom domain to HTTPS, without containers: the real CLI, API, secrets, router, PostgreSQL, NATS and a name
 * server; the agent's own edge code with a host's real permissions before a real HAProxy; an app on loopback.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { systemClock } from "@berth/shared/kit/clock.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import { CertificateKeeper } from "../../services/agent/src/edge/certificate-keeper.ts";
import { createEdge } from "../../services/agent/src/edge/edge.ts";
import { askCertificates, keepCertificates } from "../../services/agent/src/inbound/certificates.ts";
import {
  askRouteTables,
  onRouteTableChanged,
  tellApplied,
} from "../../services/agent/src/inbound/route-tables.ts";
import { type JoinedHost, LiveApi, until } from "../../services/api/src/testing/live-api.ts";

export interface HttpsRig {
  readonly api: LiveApi;
  /** Of the edge and its certificates. */
  readonly dir: string;
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
  const host = await api.joinHost("h1");
  await once(app.listen(0, "127.0.0.1"), "listening");
  await storeInstance(api, host, (app.address() as AddressInfo).port);
  const dir = mkdtempSync("/tmp/berth-https-");
  const edge = await startEdge(host, dir, ports);
  return {
    ...{ api, dir, ...ports },
    close: async () => {
      await edge.close();
      app.closeAllConnections();
      app.close();
      await api.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function storeInstance(api: LiveApi, { hostId }: JoinedHost, port: number): Promise<void> {
  const { orgId, environmentId, serviceId } = await api.idsOf("shop");
  await api.admin.query(
    "insert into scheduler.hosts_seen (host_id, state, last_heartbeat_at, boot_id, heartbeat) values ($1,'alive',now(),'boot','{}')",
    [hostId],
  );
  await api.admin.query(
    `insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, state, rotation, ready, host_id, address, port)
     values ($1,$2,$3,$4,'rel','dep','web',1,'{}','running','in',true,$5,'127.0.0.1',$6)`,
    [newId("job"), orgId, environmentId, serviceId, hostId, port],
  );
}

/** As the agent wires it, with all that it does by a period done more often. */
async function startEdge(
  { agent: bus, hostId, curve }: JoinedHost,
  dir: string,
  { httpPort, httpsPort }: { httpPort: number; httpsPort: number },
) {
  const routes = { bus, hostId, clock: systemClock };
  const certificates = new CertificateKeeper({
    ...{ dir: join(dir, "certificates"), hostId, curve, log: silentLog },
    ask: (ids) => askCertificates(bus, hostId, ids),
  });
  await certificates.open();
  const edge = createEdge({
    ...{ dir, socketPath: join(dir, "haproxy.sock"), port: httpPort, bindAddress: "127.0.0.1" },
    tls: { port: httpsPort, dir: join(dir, "tls"), certificates: certificates.get },
    ...{ log: silentLog, clock: systemClock },
    acknowledged: (acknowledgements) => void tellApplied(routes, acknowledgements),
  });
  await edge.start();
  const proxy = spawn("haproxy", ["-W", "-db", "-f", join(dir, "haproxy.cfg")], { stdio: "ignore" });
  await until("the edge's proxy answers", async () => {
    await edge.verify();
    return edge.status().reachable;
  });
  const keep = () => void keepCertificates(certificates, edge).catch(() => undefined);
  const told = onRouteTableChanged(routes, edge, keep);
  const asking = setInterval(() => {
    void askRouteTables(routes, edge).then(keep, () => undefined);
  }, LOOK_MS);
  return {
    close: async () => {
      clearInterval(asking);
      await told.close();
      await edge.close();
      const ended = once(proxy, "exit");
      proxy.kill("SIGTERM");
      await ended;
    },
  };
}
