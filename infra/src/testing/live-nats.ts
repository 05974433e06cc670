/** For tests: a real nats-server with the pod's own keys, and connections to it as any service or host. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ServiceName } from "@berth/shared/contracts/event.ts";
import { permissionsFor } from "@berth/shared/contracts/permissions.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { connectBus } from "@berth/shared/kit/bus.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import { fmtCreds } from "@nats-io/jwt";
import type { KeyPair } from "@nats-io/nkeys";
import { ensureNatsServer } from "../install/nats-server.ts";
import { natsProcess } from "../parts/nats.ts";
import { ensureCreds } from "../pki/nats-accounts.ts";
import type { PodPki } from "../pki/pod-pki.ts";
import { ensurePodPki } from "../pki/pod-pki.ts";
import { stateDirOf } from "../pod/settings.ts";
import { userIds } from "../supervisor/user.ts";

export interface LiveNats {
  readonly url: string;
  readonly pki: PodPki;
  /** Credentials of a control-plane service. */
  credsOf(service: ServiceName): Promise<string>;
  connectAs(service: ServiceName): Promise<Bus>;
  /** As a host's process, with the JWT that the api signed for it. */
  connectHost(service: "agent" | "logshipper", hostId: string, jwt: string, key: KeyPair): Promise<Bus>;
  /** Why the server closed connections whose name or user has `part` in it. */
  closedReasons(part: string): Promise<string[]>;
  close(): Promise<void>;
}

export async function startLiveNats(): Promise<LiveNats> {
  const dir = mkdtempSync(join(tmpdir(), "berth-live-nats-"));
  const pki = await ensurePodPki(join(dir, "pki"));
  const tool = await ensureNatsServer(join(stateDirOf({}, process.env), "tools"), () => undefined);
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
  // The server runs as its own user and must get through to its files.
  mkdirSync(join(dir, "nats"), { recursive: true });
  for (const folder of [dir, join(dir, "pki")]) chmodSync(folder, 0o755);
  const [file = "", ...args] = spec.command;
  const owner = process.getuid?.() === 0 && spec.user !== undefined ? userIds(spec.user) : {};
  const child = spawn(file, args, { stdio: "ignore", cwd: "/", ...owner });
  await untilHealthy(monitorPort);

  const url = `tls://127.0.0.1:${port}`;
  const connect = async (service: ServiceName, credsFile: string, hostId?: string) => {
    const host = hostId === undefined ? {} : { hostId };
    const bus = connectBus({ service, url, credsFile, caFile: pki.ca.certFile, log: silentLog, ...host });
    await bus.ready;
    return bus;
  };
  const credsOf = async (service: ServiceName) => {
    const creds = join(dir, `${service}.creds`);
    await ensureCreds(pki.nats, creds, service, permissionsFor(service));
    return creds;
  };
  return {
    url,
    pki,
    credsOf,
    connectAs: async (service) => connect(service, await credsOf(service)),
    connectHost: async (service, hostId, jwt, key) => {
      const creds = join(dir, `${service}-${hostId}.creds`);
      writeFileSync(creds, fmtCreds(jwt, key), { mode: 0o600 });
      return connect(service, creds, hostId);
    },
    closedReasons: async (part) => {
      const reply = await fetch(`http://127.0.0.1:${monitorPort}/connz?state=closed&limit=1000`);
      const { connections } = (await reply.json()) as { connections: { name?: string; reason: string }[] };
      return connections.filter(({ name }) => name?.includes(part)).map(({ reason }) => reason);
    },
    close: async () => {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function untilHealthy(port: number): Promise<void> {
  const deadlineMs = Date.now() + 30_000;
  while (Date.now() < deadlineMs) {
    const healthy = await fetch(`http://127.0.0.1:${port}/healthz`).then(
      (reply) => reply.ok,
      () => false,
    );
    if (healthy) return;
    await sleep(50);
  }
  throw new Error("nats-server was not healthy within 30 s");
}
