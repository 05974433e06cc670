/**
 * The control plane's services as processes: an explicit table of what each is given, and nothing more.
 *
 * A service sees its own database role, its own bus credentials and the files that only it needs; the master key
 * goes to `secrets` alone, the key that signs hosts' users to `api` alone.
 */

import { existsSync } from "node:fs";
import { chown } from "node:fs/promises";
import { join } from "node:path";
import { permissionsFor } from "@berth/shared/contracts/permissions.ts";
import { ensureSystemUser } from "../install/system-user.ts";
import type { DatabaseService } from "../migrate.ts";
import { ensureFolder, systemPath } from "../parts/part-files.ts";
import { registryTokenAudience, registryTokenIssuer } from "../parts/registry.ts";
import { type CertificateFiles, ensureKeyFile, ensureServerCertificate } from "../pki/certificates.ts";
import { ensureCreds } from "../pki/nats-accounts.ts";
import type { PodPki } from "../pki/pod-pki.ts";
import type { ProcessSpecInput } from "../supervisor/process-spec.ts";
import type { UserIds } from "../supervisor/user.ts";
import { codeVersion, readableByAll, serviceMain } from "./code.ts";
import type { PodSettings } from "./settings.ts";

export const controlPlane = ["api", "git", "builder", "scheduler", "secrets", "router", "network"] as const;
export type ControlPlaneService = (typeof controlPlane)[number];

export type ServicesGiven = {
  readonly settings: PodSettings;
  readonly pki: PodPki;
  readonly databaseUrls: Readonly<Record<DatabaseService, string>>;
  readonly dockerSocket: string;
  /** Parts that run under the same supervisor; what is not there cannot be waited for. */
  readonly partNames: readonly string[];
  /** The operator's own environment: certificates for builds and the object store's credentials come from it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
};

type Row = {
  readonly env: Readonly<Record<string, string>>;
  /** Limits that the operator may set for it. */
  readonly tuning: RegExp;
  /** Needs the Docker socket, and so root. */
  readonly root?: boolean;
  /** Key files that its own user must be able to read. */
  readonly keys?: readonly string[];
  readonly port?: number;
};

/** Services whose code is there, each with its folder, user and credentials made. */
export async function serviceProcesses(given: ServicesGiven): Promise<readonly ProcessSpecInput[]> {
  await ensurePodCertificate(given);
  await ensureKeyFile(acmeKeyFile(given.pki));
  const table = serviceTable(given);
  const present = controlPlane.filter((name) => existsSync(serviceMain(name)));
  const specs: ProcessSpecInput[] = [];
  for (const name of present) specs.push(await serviceProcess(name, table[name], given));
  return specs;
}

function serviceTable(given: ServicesGiven): Readonly<Record<ControlPlaneService, Row>> {
  const { settings, pki, dockerSocket } = given;
  const registry = registryAddress(settings);
  const gitUrl = `http://${settings.publicAddress}:${settings.gitPort}`;
  const objectStore = settings.objectStore ?? `file://${join(settings.stateDir, "objects")}`;
  const urls = {
    BERTH_POD_DOMAIN: settings.podDomain,
    BERTH_EDGE_PORT: String(settings.edgePort),
    BERTH_GIT_PUBLIC_URL: gitUrl,
  };
  const storage = {
    BERTH_OBJECT_STORE: objectStore,
    ...pick(given.environment, /^AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|REGION|CA_BUNDLE)$/),
  };
  return {
    api: {
      port: settings.apiPort,
      tuning: /^BERTH_API_/,
      keys: [pki.nats.accountSeedFile, ...Object.values(pki.nats.revoking)],
      env: {
        ...urls,
        BERTH_LISTEN_HOST: settings.listenHost,
        BERTH_LISTEN_PORT: String(settings.apiPort),
        BERTH_API_PUBLIC_URL: apiUrl(settings),
        BERTH_NATS_ACCOUNT_SEED_FILE: pki.nats.accountSeedFile,
        BERTH_NATS_ACCOUNT_JWT_FILE: pki.nats.revoking.accountJwtFile,
        BERTH_NATS_SIGNING_SEED_FILE: pki.nats.revoking.signingSeedFile,
        BERTH_NATS_REVOKING_CREDS: pki.nats.revoking.credsFile,
        BERTH_NATS_PUBLIC_URL: `tls://${settings.publicAddress}:${settings.natsPort}`,
        BERTH_REGISTRY: registry,
        BERTH_HOST_CIDR: settings.hostCidr,
      },
    },
    git: {
      port: settings.gitPort,
      tuning: /^BERTH_GIT_/,
      env: {
        ...urls,
        ...storage,
        BERTH_LISTEN_HOST: settings.listenHost,
        BERTH_LISTEN_PORT: String(settings.gitPort),
      },
    },
    builder: {
      root: true,
      tuning: /^BERTH_(BUILD_|STACK_IMAGE$)/,
      env: {
        ...storage,
        BERTH_REGISTRY: registry,
        BERTH_BUILD_DOCKER_SOCKET: dockerSocket,
        ...extraCa(given.environment),
      },
    },
    scheduler: { tuning: /^BERTH_([A-Z_]+_MS|SCHEDULER_[A-Z_]+)$/, env: { ...urls } },
    secrets: {
      tuning: /^BERTH_(PULL|PUSH)_TOKEN_SECONDS$/,
      keys: [pki.masterKeyFile, pki.registrySigner.keyFile],
      env: {
        BERTH_MASTER_KEY_FILE: pki.masterKeyFile,
        BERTH_REGISTRY_SIGNING_KEY_FILE: pki.registrySigner.keyFile,
        BERTH_REGISTRY_SIGNING_CERT_FILE: pki.registrySigner.certFile,
        BERTH_REGISTRY: registry,
        BERTH_REGISTRY_TOKEN_ISSUER: registryTokenIssuer,
        BERTH_REGISTRY_TOKEN_AUDIENCE: registryTokenAudience,
      },
    },
    router: {
      tuning: /^BERTH_ROUTER_/,
      keys: [podCertificateFiles(pki).keyFile, acmeKeyFile(pki)],
      env: {
        ...urls,
        BERTH_ROUTER_POD_CERT_FILE: podCertificateFiles(pki).certFile,
        BERTH_ROUTER_POD_KEY_FILE: podCertificateFiles(pki).keyFile,
        BERTH_ROUTER_ACME_KEY_FILE: acmeKeyFile(pki),
      },
    },
    network: {
      tuning: /^BERTH_NETWORK_/,
      env: { BERTH_POD_CIDR: settings.podCidr, BERTH_HOST_CIDR: settings.hostCidr },
    },
  };
}

function podCertificateFiles({ dir }: PodPki): CertificateFiles {
  return { keyFile: join(dir, "edge.key"), certFile: join(dir, "edge.crt") };
}

/** Of the pod's account at the authority that certificates are ordered from. */
function acmeKeyFile({ dir }: PodPki): string {
  return join(dir, "acme-account.key");
}

/** For names under the pod's domain, of the pod's own authority: no browser knows it, `curl --cacert` does. */
async function ensurePodCertificate({ settings: { podDomain }, pki }: ServicesGiven): Promise<void> {
  const addresses = [`*.${podDomain}`.toLowerCase()];
  await ensureServerCertificate({
    ...{ ...podCertificateFiles(pki), ca: pki.ca, commonName: `*.${podDomain}`, addresses },
  });
}

async function serviceProcess(
  name: ControlPlaneService,
  row: Row,
  given: ServicesGiven,
): Promise<ProcessSpecInput> {
  const { settings, pki } = given;
  const owner = row.root === true ? undefined : await serviceUser(name, settings);
  const folder = join(settings.stateDir, "services", name);
  await ensureFolder(folder, 0o700, owner?.ids);
  if (name === "git" && settings.objectStore === undefined)
    await ensureFolder(join(settings.stateDir, "objects"), 0o700, owner?.ids);
  const creds = join(pki.dir, "nats", `${name}.creds`);
  await ensureCreds(pki.nats, creds, name, permissionsFor(name), owner?.ids);
  for (const file of [creds, ...(row.keys ?? [])])
    await chown(file, owner?.ids.uid ?? 0, owner?.ids.gid ?? 0);
  const needed = ["nats", "postgres", ...(name === "builder" ? ["registry", "dockerd"] : [])];
  return {
    ...nodeProcess(name),
    env: {
      ...commonEnv(name, settings, folder),
      BERTH_NATS_URL: `tls://${localAddress(settings)}:${settings.natsPort}`,
      BERTH_NATS_CREDS: creds,
      BERTH_NATS_CA: pki.ca.certFile,
      NODE_EXTRA_CA_CERTS: pki.ca.certFile,
      BERTH_DATABASE_URL: given.databaseUrls[name],
      ...row.env,
      ...pick(given.environment, /^OTEL_/),
      ...pick(settings.tuning, row.tuning),
      ...settings.serviceEnv[name],
    },
    ...(owner === undefined ? {} : { user: owner.name }),
    dependsOn: needed.filter((part) => given.partNames.includes(part)),
  };
}

async function serviceUser(
  name: string,
  settings: PodSettings,
): Promise<{ name: string; ids: UserIds } | undefined> {
  if (!settings.serviceUsers || !readableByAll(serviceMain(name)) || !readableByAll(process.execPath))
    return undefined;
  return { name: `berth-${name}`, ids: await ensureSystemUser(`berth-${name}`) };
}

/** A process of ours: ready when it says so in its log. */
export function nodeProcess(
  name: string,
  options: readonly string[] = [],
): Pick<ProcessSpecInput, "name" | "command" | "readiness" | "readyTimeoutMs" | "stopTimeoutMs"> {
  return {
    name,
    command: [process.execPath, "--disable-warning=ExperimentalWarning", ...options, serviceMain(name)],
    readiness: { kind: "log", text: "service.ready" },
    readyTimeoutMs: 60_000,
    stopTimeoutMs: 25_000,
  };
}

export function commonEnv(
  name: string,
  settings: Pick<PodSettings, "logLevel">,
  folder: string,
): Record<string, string> {
  return {
    PATH: `${systemPath}`,
    HOME: folder,
    LANG: "C.UTF-8",
    TZ: "UTC",
    NODE_ENV: "production",
    BERTH_STATE_DIR: folder,
    BERTH_LOG_LEVEL: settings.logLevel,
    BERTH_CODE_VERSION: codeVersion(name),
  };
}

/** What processes of this machine connect to. */
export function localAddress(settings: Pick<PodSettings, "listenHost">): string {
  return settings.listenHost === "0.0.0.0" ? "127.0.0.1" : settings.listenHost;
}

export function apiUrl(settings: Pick<PodSettings, "publicAddress" | "apiPort">): string {
  return `http://${settings.publicAddress}:${settings.apiPort}`;
}

/** Part of every image's name, so it may not change while images are kept. */
export function registryAddress(settings: Pick<PodSettings, "publicAddress" | "registryPort">): string {
  return `${settings.publicAddress}:${settings.registryPort}`;
}

/** Behind an intercepting proxy the operator's Node already has the extra certificates; builds need them too. */
function extraCa(environment: ServicesGiven["environment"]): Record<string, string> {
  const file = environment.NODE_EXTRA_CA_CERTS;
  return file === undefined || !existsSync(file) ? {} : { BERTH_BUILD_EXTRA_CA_FILE: file };
}

export function pick(
  from: Readonly<Record<string, string | undefined>>,
  names: RegExp,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(from).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && names.test(entry[0]),
    ),
  );
}
