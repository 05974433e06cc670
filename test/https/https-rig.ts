/**
 * The road of a custom domain to HTTPS: the real CLI, API, secrets, router, PostgreSQL, NATS and a name server; two hosts with
 * their real permissions. Clients come to the first. The second has the environment's job and its proxy, in which HTTPS of
 * the environment's own names ends, until `spread` gives the first one a job, too. What the scheduler would do is written
 * into its tables; it ends sleeps itself.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { addressOf, formatCidr, parseCidr } from "@berth/shared/domain/cidr.ts";
import { CertificateId, EnvironmentId } from "@berth/shared/domain/ids.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import { askCertificates } from "../../services/agent/src/inbound/certificates.ts";
import { LABELS } from "../../services/agent/src/proxies/core/proxy-container.ts";
import { type ProxyPlace, startProxyPlace } from "../../services/agent/src/testing/proxy-rig.ts";
import { LiveApi, until } from "../../services/api/src/testing/live-api.ts";
import { startEdgeHost } from "./edge-host.ts";
import { ScheduledRecord, type StoredTable } from "./scheduled-record.ts";

export interface HttpsRig {
  readonly api: LiveApi;
  /** Of the first host's edge and its certificates. */
  readonly dir: string;
  /** What is in the second host's folders but those in memory. */
  readonly dirOfProxies: string;
  readonly place: ProxyPlace;
  /** Ids of those that the secrets service gives the first host, while it has no job of the environment, of the named ones. */
  givenToFront(certificateIds: readonly string[]): Promise<string[]>;
  readonly httpPort: number;
  readonly httpsPort: number;
  /** Where the second host's edge listens for what clients send to `httpsPort`. */
  readonly httpsPortOfMember: number;
  /** Returns once requests are held. */
  sleep(): Promise<void>;
  /** Returns once a request ended the sleep. @returns at whose edge, or whose proxy, it came in */
  untilWoken(): Promise<"front" | "member" | undefined>;
  /** The instance runs again. */
  awake(): Promise<void>;
  /** An instance on the first host as well. Returns once its proxy is used. */
  spread(): Promise<void>;
  /** The second host's proxy ends, and its agent does nothing about it. */
  cutOffMember(): Promise<void>;
  close(): Promise<void>;
}

const POD_OF_FRONT = "pod-front";
const POD_OF_MEMBER = "pod-member";

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
  const [dir, dirOfProxies, activatorDir] = [newFolder(), newFolder(), newFolder()];
  const [sliceOfFront, sliceOfMember] = halves(place.slice);
  const record = await ScheduledRecord.open(api, "shop", place.slice, [front, member]);
  await record.addInstance(member, sliceOfMember, (await place.startApp(app)).address);
  const jobsOfFront = new Set<string>();
  const { httpsPort } = ports;
  const edge = await startEdgeHost({
    ...{ host: front, dir, ...ports, listenPort: httpsPort, place, jobs: () => jobsOfFront },
    as: { podId: POD_OF_FRONT, hostId: front.hostId, slice: sliceOfFront },
    activatorDir: null,
  });
  const httpsPortOfMember = await freePort();
  const edgeOfMember = await startEdgeHost({
    ...{ host: member, dir: dirOfProxies, httpPort: await freePort(), httpsPort, place, activatorDir },
    ...{ listenPort: httpsPortOfMember, jobs: () => new Set([environmentId]) },
    as: { podId: POD_OF_MEMBER, hostId: member.hostId, slice: sliceOfMember },
  });
  const second = createServer((req, res) => app.emit("request", req, res));
  const untilServed = (what: string, isSo: (table: StoredTable) => boolean) =>
    until(what, async () => {
      const table = await record.table();
      return (
        isSo(table) && [edge, edgeOfMember].every((one) => one.applied()[environmentId] === table.version)
      );
    });
  return {
    ...{ api, dir, dirOfProxies, place, ...ports, httpsPortOfMember },
    givenToFront: async (certificateIds) => {
      const ids = certificateIds.map((id) => CertificateId.parse(id));
      const given = await askCertificates(front.agent, front.hostId, ids);
      return given.map(({ certificateId }) => certificateId);
    },
    sleep: async () => {
      await record.sleep();
      await untilServed("requests are held", ({ sites }) => sites.every(({ sleep }) => sleep !== undefined));
    },
    untilWoken: async () => {
      const hostId = await record.untilWoken();
      return hostId === front.hostId ? "front" : hostId === member.hostId ? "member" : undefined;
    },
    awake: () => record.awake(),
    spread: async () => {
      const { address } = await place.startApp(second, 2);
      await record.addInstance(front, sliceOfFront, address);
      jobsOfFront.add(environmentId);
      const isSpread = ({ proxies, sites }: StoredTable) =>
        proxies.length === 2 &&
        sites.every(({ tls, backends }) => tls?.proxied !== false && backends.length === 2);
      await untilServed("both hosts have a proxy", isSpread);
    },
    cutOffMember: async () => {
      await edgeOfMember.silence();
      const { docker } = place.engine;
      const ids = (await docker("ps", "-q", "--filter", `label=${LABELS.pod}=${POD_OF_MEMBER}`)).trim();
      await docker("kill", ...ids.split("\n"));
    },
    close: async () => {
      await edge.close();
      await edgeOfMember.close();
      for (const server of [app, second]) {
        server.closeAllConnections();
        server.close();
      }
      await place.close();
      await record.close();
      await api.close();
      for (const path of [dir, dirOfProxies, activatorDir]) rmSync(path, { recursive: true, force: true });
    },
  };
}

const newFolder = (): string => mkdtempSync("/tmp/berth-https-");

function halves(slice: string): [string, string] {
  const cidr = parseCidr(slice);
  if (cidr === null) throw new Error(`not a network: ${slice}`);
  const bits = cidr.bits + 1;
  return [formatCidr({ address: cidr.address, bits }), `${addressOf(cidr, 2 ** (32 - bits))}/${bits}`];
}
