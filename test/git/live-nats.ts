/** A real nats-server with the pod's own keys, and credentials for the services that a test needs. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureNatsServer } from "@berth/infra/install/nats-server.ts";
import { natsProcess } from "@berth/infra/parts/nats.ts";
import { ensureCreds } from "@berth/infra/pki/nats-accounts.ts";
import { ensurePodPki } from "@berth/infra/pki/pod-pki.ts";
import { stateDirOf } from "@berth/infra/pod/settings.ts";
import { userIds } from "@berth/infra/supervisor/user.ts";
import { permissionsFor } from "@berth/shared/contracts/permissions.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { connectBus } from "@berth/shared/kit/bus.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import { until } from "./until.ts";

export interface LiveNats {
  /** Environment of the git service. */
  readonly env: Record<string, string>;
  /** Connects as another service. */
  connectAs(service: "builder" | "scheduler"): Promise<Bus>;
  close(): Promise<void>;
}

export async function startNats(): Promise<LiveNats> {
  const dir = await mkdtemp(join(tmpdir(), "berth-git-nats-"));
  const pki = await ensurePodPki(join(dir, "pki"));
  const tool = await ensureNatsServer(join(stateDirOf({}, process.env), "tools"), () => {});
  const [port, monitorPort] = [await freePort(), await freePort()];
  const spec = await natsProcess({
    stateDir: dir,
    tool,
    pki,
    listenHost: "127.0.0.1",
    port,
    monitorPort,
    addresses: ["127.0.0.1", "localhost"],
    maxStoreBytes: 1024 ** 3,
  });
  const root = process.getuid?.() === 0;
  await openFolders(dir);
  const [file = "", ...args] = spec.command;
  const child = spawn(file, args, {
    stdio: "ignore",
    cwd: "/",
    ...(root && spec.user !== undefined ? userIds(spec.user) : {}),
  });
  await until("nats-server", async () => ((await isHealthy(monitorPort)) ? true : undefined), 30_000);
  const url = `tls://127.0.0.1:${port}`;
  const caFile = pki.ca.certFile;
  const credsOf = async (service: "git" | "builder" | "scheduler") => {
    const creds = join(dir, `${service}.creds`);
    await ensureCreds(pki.nats, creds, service, permissionsFor(service));
    return creds;
  };
  return {
    env: { BERTH_NATS_URL: url, BERTH_NATS_CREDS: await credsOf("git"), BERTH_NATS_CA: caFile },
    connectAs: async (service) => {
      const bus = connectBus({ service, url, credsFile: await credsOf(service), caFile, log: silentLog });
      await until(`the connection of ${service}`, async () => (bus.connected ? true : undefined));
      return bus;
    },
    close: async () => {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** The server's user must get through to its files. */
async function openFolders(dir: string): Promise<void> {
  await chmod(dir, 0o755);
  await chmod(join(dir, "pki"), 0o755);
  await mkdir(join(dir, "nats"), { recursive: true });
}

async function isHealthy(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/healthz`)).ok;
  } catch {
    return false;
  }
}
