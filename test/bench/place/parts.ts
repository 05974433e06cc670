/**
 * The parts under the benchmark, as a pod has them: nats-server with TLS, JetStream synced and users with allow-lists,
 * PostgreSQL with its default durability, the record's schemas by their migrations.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ensureNatsServer } from "@berth/infra/install/nats-server.ts";
import { migrate } from "@berth/infra/migrate.ts";
import { natsProcess } from "@berth/infra/parts/nats.ts";
import { postgresProcess } from "@berth/infra/parts/postgres.ts";
import { ensureCreds } from "@berth/infra/pki/nats-accounts.ts";
import { ensurePodPki } from "@berth/infra/pki/pod-pki.ts";
import { type ProcessHandle, startProcess, stopProcess } from "@berth/infra/supervisor/process-handle.ts";
import { ProcessSpec, type ProcessSpecInput } from "@berth/infra/supervisor/process-spec.ts";
import { inboxPrefix, type Permissions, permissionsFor } from "@berth/shared/contracts/permissions.ts";
import { newId } from "@berth/shared/kit/ids.ts";

const host = "127.0.0.1";
const readyTimeoutMs = 30_000;

export interface Ports {
  readonly postgres: number;
  readonly nats: number;
  readonly natsMonitor: number;
}

/** How a process reaches NATS. */
export interface BusAddress {
  readonly url: string;
  readonly caFile: string;
  readonly credsFile: string;
}

export interface Parts {
  readonly databaseUrl: string;
  readonly adminUrl: string;
  readonly scheduler: BusAddress;
  readonly agents: BusAddress;
  readonly monitorUrl: string;
  readonly natsPid: number;
  readonly postgresPid: number;
  readonly versions: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

export async function startParts(
  stateDir: string,
  ports: Ports,
  say: (line: string) => void,
): Promise<Parts> {
  const runDir = join(stateDir, "run");
  await mkdir(join(runDir, "logs"), { recursive: true });
  const pki = await ensurePodPki(join(stateDir, "pki"));
  const tool = await ensureNatsServer(join(stateDir, "tools"), say);
  const nats = await natsProcess({
    ...{ stateDir, tool, pki, listenHost: host, addresses: [host, "localhost"] },
    ...{ port: ports.nats, monitorPort: ports.natsMonitor, maxStoreBytes: 256 * 1024 ** 2 },
  });
  const postgres = await postgresProcess({
    ...{ stateDir, pkiDir: pki.dir, port: ports.postgres, progress: say },
  });
  const running: { handle: ProcessHandle; spec: ProcessSpec }[] = [];
  const start = async (input: ProcessSpecInput): Promise<number> => {
    const spec = ProcessSpec.parse(input);
    const handle = await startProcess(runDir, spec);
    running.push({ handle, spec });
    return handle.pid;
  };
  const close = async (): Promise<void> => {
    await Promise.all(running.map(({ handle, spec }) => stopProcess(handle, spec)));
  };
  try {
    const natsPid = await start(nats);
    const postgresPid = await start(postgres.spec);
    const monitorUrl = `http://${host}:${ports.natsMonitor}`;
    await waitForNats(monitorUrl);
    const urls = await migrate({
      ...{ adminUrl: postgres.adminUrl, database: "berth", progress: say },
      servicesDir: join(import.meta.dirname, "../../../services"),
      passwordOf: (service) => Promise.resolve(`bench-${service}`),
    });
    const address = async (name: string, permissions: Permissions): Promise<BusAddress> => {
      const credsFile = join(stateDir, `${name}.creds`);
      await ensureCreds(pki.nats, credsFile, name, permissions);
      return { url: `nats://${host}:${ports.nats}`, caFile: pki.ca.certFile, credsFile };
    };
    const database = new URL(postgres.adminUrl);
    database.pathname = "/berth";
    return {
      ...{ databaseUrl: urls.scheduler, adminUrl: database.href, monitorUrl, natsPid, postgresPid, close },
      scheduler: await address("scheduler", withBench(permissionsFor("scheduler"))),
      agents: await address("agents", withBench(manyAgents())),
      versions: { nats: tool.version, postgres: postgres.version },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What one agent may, for any host: a process of the benchmark speaks for many of them. */
function manyAgents(): Permissions {
  const hostId = newId("host");
  const { publish, subscribe } = permissionsFor("agent", hostId);
  const any = (subject: string): string => subject.replaceAll(hostId, "*");
  const inbox = `${inboxPrefix("agent")}.>`;
  // A bus without a host's id declares its streams.
  return { publish: [...publish.map(any), "$JS.API.>"], subscribe: [...subscribe.map(any), inbox] };
}

/** The floors of the benchmark have subjects of their own. */
function withBench({ publish, subscribe }: Permissions): Permissions {
  return {
    publish: [...publish, "bench.>", "_INBOX.scheduler.>"],
    subscribe: [...subscribe, "bench.>"],
  };
}

async function waitForNats(monitorUrl: string): Promise<void> {
  const endAtMs = Date.now() + readyTimeoutMs;
  for (;;) {
    const answer = await fetch(`${monitorUrl}/healthz`, { signal: AbortSignal.timeout(1000) }).catch(
      () => null,
    );
    if (answer?.ok === true) return;
    if (Date.now() > endAtMs) throw new Error(`nats-server is not ready after ${readyTimeoutMs / 1000} s`);
    await delay(50);
  }
}
