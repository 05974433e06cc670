/**
 * The image registry (distribution): TLS, and no access without a token that the secrets service signed for exactly
 * one repository. It never collects garbage by itself: that corrupts images while a push runs.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ensureSystemUser } from "../install/system-user.ts";
import { ensureServerCertificate } from "../pki/certificates.ts";
import { newPassword, replaceFile } from "../pki/key-file.ts";
import { ensurePassword, type PodPki } from "../pki/pod-pki.ts";
import type { ProcessSpecInput } from "../supervisor/process-spec.ts";
import { contentHash, ensureFolder, systemPath, writeConfig } from "./part-files.ts";

export type RegistrySettings = {
  readonly stateDir: string;
  readonly pki: PodPki;
  readonly listenHost: string;
  readonly port: number;
  readonly addresses: readonly string[];
};

/** Must be equal in the tokens that the secrets service signs. */
export const registryTokenIssuer = "berth-secrets";
export const registryTokenAudience = "berth-registry";

const user = "berth-registry";
const binary = "/usr/bin/docker-registry";

export async function registryProcess(settings: RegistrySettings): Promise<ProcessSpecInput> {
  const { stateDir, pki, port } = settings;
  const owner = await ensureSystemUser(user);
  const dir = join(stateDir, "registry");
  const storage = join(dir, "storage");
  await ensureFolder(dir, 0o700, owner);
  await ensureFolder(storage, 0o700, owner);
  const certificate = { keyFile: join(pki.dir, "registry.key"), certFile: join(pki.dir, "registry.crt") };
  const fingerprint = await ensureServerCertificate({
    ...certificate,
    ca: pki.ca,
    commonName: "registry",
    addresses: settings.addresses,
    owner,
  });
  const signers = await readFile(pki.registrySigner.certFile, "utf8");
  const signersFile = join(dir, "token-signers.crt");
  await replaceFile(signersFile, signers, owner);
  const httpSecret = await ensurePassword(pki.dir, "registry-http", newPassword);
  const configFile = join(dir, "config.yml");
  const config = registryConfig({ ...settings, ...certificate, storage, signersFile, httpSecret });
  const hash = await writeConfig(configFile, config, owner);
  return {
    name: "registry",
    command: [binary, "serve", configFile],
    env: {
      PATH: systemPath,
      BERTH_CONFIG_HASH: contentHash(hash, fingerprint, signers),
      OTEL_TRACES_EXPORTER: "none",
    },
    user,
    readiness: {
      kind: "tls-tcp",
      host: settings.listenHost === "0.0.0.0" ? "127.0.0.1" : settings.listenHost,
      port,
    },
  };
}

type RegistryConfig = {
  readonly listenHost: string;
  readonly port: number;
  readonly keyFile: string;
  readonly certFile: string;
  readonly storage: string;
  readonly signersFile: string;
  readonly httpSecret: string;
};

/** The registry reads YAML, of which JSON is a part. */
export function registryConfig(given: RegistryConfig): string {
  const config = {
    version: "0.1",
    log: { level: "info", formatter: "json", accesslog: { disabled: true } },
    storage: {
      filesystem: { rootdirectory: given.storage },
      delete: { enabled: true },
      maintenance: { uploadpurging: { enabled: true, age: "24h", interval: "6h", dryrun: false } },
    },
    http: {
      addr: `${given.listenHost}:${given.port}`,
      secret: given.httpSecret,
      tls: { certificate: given.certFile, key: given.keyFile, minimumtls: "tls1.2" },
      headers: { "X-Content-Type-Options": ["nosniff"] },
    },
    auth: {
      token: {
        // Tokens are handed to the engine with each pull and push; nothing is ever fetched from the realm.
        realm: "https://berth.invalid/registry-token",
        service: registryTokenAudience,
        issuer: registryTokenIssuer,
        rootcertbundle: given.signersFile,
      },
    },
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
