/**
 * nats-server: JetStream with every write on disk before it is acknowledged, TLS for all clients, operator mode
 * (nobody without credentials, nothing outside the account). Its store and its accounts' folder may be lost: the
 * accounts start from those of the pod's keys, and the api sends the revocations again.
 */
import { join } from "node:path";
import type { Tool } from "../install/nats-server.ts";
import { ensureSystemUser } from "../install/system-user.ts";
import { ensureServerCertificate } from "../pki/certificates.ts";
import type { NatsAccounts } from "../pki/nats-accounts.ts";
import type { PodPki } from "../pki/pod-pki.ts";
import type { ProcessSpecInput } from "../supervisor/process-spec.ts";
import { contentHash, ensureFolder, writeConfig } from "./part-files.ts";

export type NatsSettings = {
  readonly stateDir: string;
  readonly tool: Tool;
  readonly pki: PodPki;
  readonly listenHost: string;
  readonly port: number;
  /** Monitoring is on loopback only: it shows connections and subjects to whoever asks. */
  readonly monitorPort: number;
  /** Addresses in the certificate. */
  readonly addresses: readonly string[];
  readonly maxStoreBytes: number;
};

const user = "berth-nats";

export async function natsProcess(settings: NatsSettings): Promise<ProcessSpecInput> {
  const { stateDir, pki, tool, monitorPort } = settings;
  const owner = await ensureSystemUser(user);
  const dir = join(stateDir, "nats");
  await ensureFolder(dir, 0o700, owner);
  await ensureFolder(join(dir, "jetstream"), 0o700, owner);
  await ensureFolder(join(dir, "accounts"), 0o700, owner);
  const certificate = { keyFile: join(pki.dir, "nats.key"), certFile: join(pki.dir, "nats.crt") };
  const fingerprint = await ensureServerCertificate({
    ...certificate,
    ca: pki.ca,
    commonName: "nats",
    addresses: settings.addresses,
    owner,
  });
  const configFile = join(dir, "nats.conf");
  const hash = await writeConfig(
    configFile,
    natsConfig(settings, certificate, {
      jetStreamDir: join(dir, "jetstream"),
      accountsDir: join(dir, "accounts"),
    }),
    owner,
  );
  return {
    name: "nats",
    command: [tool.path, "-c", configFile],
    env: { BERTH_CONFIG_HASH: contentHash(hash, fingerprint) },
    user,
    readiness: { kind: "http", url: `http://127.0.0.1:${monitorPort}/healthz?js-enabled-only=true` },
    readyTimeoutMs: 60_000,
    stopTimeoutMs: 20_000,
  };
}

/** nats-server reads JSON as its own format. */
export function natsConfig(
  settings: Pick<NatsSettings, "listenHost" | "port" | "monitorPort" | "maxStoreBytes"> & {
    readonly pki: { readonly nats: NatsAccounts };
  },
  certificate: { readonly keyFile: string; readonly certFile: string },
  folders: { readonly jetStreamDir: string; readonly accountsDir: string },
): string {
  const { nats } = settings.pki;
  const config = {
    server_name: "berth",
    host: settings.listenHost,
    port: settings.port,
    http: `127.0.0.1:${settings.monitorPort}`,
    tls: { cert_file: certificate.certFile, key_file: certificate.keyFile, min_version: "1.3", timeout: 5 },
    jetstream: {
      store_dir: folders.jetStreamDir,
      max_file_store: settings.maxStoreBytes,
      max_memory_store: 64 * 1024 * 1024,
      // The default syncs every two minutes: a power cut would lose acknowledged messages.
      sync_interval: "always",
    },
    operator: nats.operatorJwt,
    system_account: nats.systemAccount,
    resolver: { type: "full", dir: folders.accountsDir, allow_delete: false, interval: "2m", limit: 100 },
    resolver_preload: nats.accountJwts,
    max_payload: 1024 * 1024,
    max_connections: 4096,
    max_subscriptions: 0,
    write_deadline: "10s",
    ping_interval: "20s",
    ping_max: 2,
    lame_duck_duration: "30s",
    lame_duck_grace_period: "1s",
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
