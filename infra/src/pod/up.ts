/**
 * `berth up`: from whatever is there to a running pod. Idempotent: what is there and right is left alone, what
 * changed is restarted, what is missing is made. Safe to run again after any failure and after a power cut.
 *
 *   packages → keys → nats, PostgreSQL, registry, engine → migrations → services → admin → this machine as a host
 */
import { copyFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createJoinToken } from "@berth/shared/contracts/http/api.ts";
import { prepareActivator } from "../host/activator-user.ts";
import { callApi, defaultDockerCertsDir, joinHost, readHostFile, trustRegistry } from "../host/join.ts";
import { hostProcesses } from "../host/processes.ts";
import { ensureStackImage } from "../images/stack.ts";
import { ensurePackages } from "../install/debian-packages.ts";
import { chooseEngine, enginePackages } from "../install/docker-engine.ts";
import { ensureNatsServer } from "../install/nats-server.ts";
import { ensureWireguardGo, giveWireguardGo } from "../install/wireguard-go.ts";
import { type DatabaseService, migrate } from "../migrate.ts";
import { engineProcesses, ownDockerSocket } from "../parts/docker-engine.ts";
import { raiseKernelLimits } from "../parts/kernel-limits.ts";
import { natsProcess } from "../parts/nats.ts";
import { ensureFolder } from "../parts/part-files.ts";
import { postgresProcess } from "../parts/postgres.ts";
import { registryProcess } from "../parts/registry.ts";
import { newPassword } from "../pki/key-file.ts";
import { ensurePassword, ensurePodPki, type PodPki } from "../pki/pod-pki.ts";
import { type Progress, seconds, withHeartbeat } from "../progress.ts";
import { type SupervisorClient, startDetached } from "../supervisor/client.ts";
import { type ProcessSpecInput, readProcesses, writeProcesses } from "../supervisor/process-spec.ts";
import { ensureAdmin, writeCliCredentials } from "./admin.ts";
import { closedFolderAbove, servicesDir } from "./code.ts";
import { assertObjectStore } from "./object-store.ts";
import { withPodLock } from "./pod-lock.ts";
import { assertDiskSpace, assertFreePorts } from "./preflight.ts";
import { apiUrl, pick, registryAddress, serviceProcesses } from "./services.ts";
import {
  type PodSettings,
  type PodSettingsInput,
  readPodFile,
  refuseSharedNetwork,
  resolveSettings,
  writePodFile,
} from "./settings.ts";

const partsDeadlineMs = 120_000;
/** What ends again and again is told much earlier; this is for a slow machine. */
const servicesDeadlineMs = 180_000;

const packages = [
  ...[
    "ca-certificates",
    "git",
    "haproxy",
    "docker-registry",
    "busybox-static",
    "iptables",
    "nftables",
    "iproute2",
    "wireguard-tools",
    "dnsmasq-base",
  ],
  ...["mmdebstrap", "zstd", "xz-utils", "util-linux"],
];

export type UpOptions = {
  /** Win over environment and stored settings. */
  readonly settings?: Partial<PodSettingsInput>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly progress: Progress;
  /** False: the CLI's own credentials file is left alone (tests). */
  readonly writeCredentials?: boolean;
  /** Stops between steps, and in the middle of those that may be cut. What runs by then goes on running. */
  readonly signal?: AbortSignal;
};

export type RunningPod = {
  readonly settings: PodSettings;
  readonly runDir: string;
  readonly apiUrl: string;
  readonly gitUrl: string;
  readonly adminToken: string;
  readonly dockerSocket: string;
  readonly caFile: string;
};

/** @throws Error that says which step failed, with the last log lines of what did not start. */
export async function up(options: UpOptions): Promise<RunningPod> {
  const settings = await resolveSettings(options.settings ?? {}, options.environment);
  assertRoot();
  await ensureFolder(settings.stateDir, 0o711);
  assertReachable(settings.stateDir);
  // Ends what is being made beside the rest when the rest fails.
  const failed = new AbortController();
  const signal = AbortSignal.any([failed.signal, ...(options.signal === undefined ? [] : [options.signal])]);
  try {
    return await withPodLock(settings.stateDir, "up", () => bringUp(settings, { ...options, signal }));
  } catch (error) {
    failed.abort();
    throw error;
  }
}

/** Before anything is made: from here on `down` and `reset` know that there may be something in this folder. */
async function begin(settings: PodSettings, { progress, signal, environment }: UpOptions): Promise<void> {
  const before = await readPodFile(settings.stateDir);
  refuseSharedNetwork(settings.stateDir, before);
  progress(`${before === null ? "new pod" : "pod"} in ${settings.stateDir}`);
  await assertDiskSpace(settings.stateDir, before?.engine === undefined);
  await assertFreePorts(settings);
  await assertObjectStore(settings, before?.settings.objectStore, environment, progress);
  await writePodFile(settings, before ?? { versions: {} });
  await ensurePackages([...packages, ...(await enginePackages(settings.dockerSocket))], progress);
  signal?.throwIfAborted();
}

async function bringUp(
  settings: PodSettings,
  options: UpOptions & { readonly signal: AbortSignal },
): Promise<RunningPod> {
  const { progress, signal } = options;
  const runDir = join(settings.stateDir, "run");
  await begin(settings, options);
  for (const folder of ["run", "tools", "pki", "services"])
    await ensureFolder(join(settings.stateDir, folder), 0o711);
  const pki = await ensurePodPki(join(settings.stateDir, "pki"));
  const parts = await prepareParts(settings, pki, progress);
  signal.throwIfAborted();
  await writePodFile(settings, { engine: parts.engine, versions: parts.versions });

  // Services that already run stay in the list, so that an `up` on a running pod stops nothing.
  const supervisor = await applyKeeping(runDir, parts.specs);
  const waiting = { supervisor, progress, signal };
  await waitFor(waiting, parts.specs, partsDeadlineMs, parts.versions);
  await trustRegistry(defaultDockerCertsDir, {
    registry: registryAddress(settings),
    caCertificatePem: await readFile(pki.ca.certFile, "utf8"),
  });
  const stack = settings.stackImage ? prepareStack(settings, parts, options) : Promise.resolve();
  const passwordOf = (service: DatabaseService) =>
    ensurePassword(pki.dir, `postgres-${service}`, newPassword);
  const databaseUrls = await migrate({
    adminUrl: parts.adminUrl,
    database: "berth",
    servicesDir,
    passwordOf,
    progress,
  });
  const adminToken = await ensureAdmin({
    databaseUrl: databaseUrls.api,
    pkiDir: pki.dir,
    email: settings.adminEmail,
  });

  const partNames = parts.specs.map(({ name }) => name);
  const services = await serviceProcesses({
    ...options,
    settings,
    pki,
    databaseUrls,
    dockerSocket: parts.dockerSocket,
    partNames,
  });
  await applyKeeping(runDir, [...parts.specs, ...services]);
  await waitFor(waiting, services, servicesDeadlineMs);
  if (options.writeCredentials !== false) await writeCliCredentials(apiUrl(settings), adminToken, progress);

  const host = settings.joinThisMachine ? await thisMachine(settings, pki, parts, adminToken, progress) : [];
  await writeProcesses(runDir, [...parts.specs, ...services, ...host]);
  await supervisor.apply();
  await waitFor(waiting, host, servicesDeadlineMs);
  await stack;
  return {
    settings,
    runDir,
    apiUrl: apiUrl(settings),
    gitUrl: `http://${settings.publicAddress}:${settings.gitPort}`,
    adminToken,
    dockerSocket: parts.dockerSocket,
    caFile: pki.ca.certFile,
  };
}

type Parts = {
  readonly specs: readonly ProcessSpecInput[];
  readonly adminUrl: string;
  readonly dockerSocket: string;
  readonly engine: "own" | "given";
  readonly versions: Readonly<Record<string, string>>;
};

async function prepareParts(settings: PodSettings, pki: PodPki, progress: Progress): Promise<Parts> {
  const { stateDir, listenHost } = settings;
  const tool = await ensureNatsServer(join(stateDir, "tools"), progress);
  const engine = await decideEngine(settings, progress);
  const addresses = [
    ...new Set([
      "127.0.0.1",
      "localhost",
      settings.publicAddress,
      ...(listenHost === "0.0.0.0" ? [] : [listenHost]),
    ]),
  ];
  const nats = await natsProcess({
    ...{ stateDir, tool, pki, listenHost, addresses },
    port: settings.natsPort,
    monitorPort: settings.natsMonitorPort,
    maxStoreBytes: settings.natsStoreBytes,
  });
  const registry = await registryProcess({
    stateDir,
    pki,
    listenHost,
    port: settings.registryPort,
    addresses,
  });
  const postgres =
    settings.postgresUrl === undefined
      ? await postgresProcess({ stateDir, pkiDir: pki.dir, port: settings.postgresPort, progress })
      : null;
  await raiseKernelLimits(progress);
  return {
    specs: [
      nats,
      ...(postgres === null ? [] : [postgres.spec]),
      registry,
      ...(engine.kind === "own" ? await engineProcesses({ stateDir, filter: "engine" }) : []),
    ],
    adminUrl: postgres?.adminUrl ?? settings.postgresUrl ?? "",
    dockerSocket: engine.kind === "own" ? ownDockerSocket(stateDir) : engine.socket,
    engine: engine.kind === "own" ? "own" : "given",
    versions: {
      nats: tool.version,
      ...(postgres === null ? {} : { postgres: postgres.version }),
      ...(engine.kind === "running" ? { docker: engine.version } : {}),
      node: process.versions.node,
    },
  };
}

/** The base of buildpack apps. Made beside everything else, because it takes longest the first time. */
function prepareStack(settings: PodSettings, parts: Parts, { progress, signal }: UpOptions): Promise<void> {
  const onProgress = (text: string): void => progress(`stack image: ${text}`);
  const made = ensureStackImage({
    dockerSocket: parts.dockerSocket,
    stateDir: settings.stateDir,
    onProgress,
    signal,
  });
  const done = made.then(({ name }) => progress(`stack image ${name} is there`));
  // Awaited at the end of `up`; until then a failure must not count as unhandled.
  done.catch(() => undefined);
  return done;
}

/** An engine of our own stays ours: containers live in it. */
async function decideEngine(
  settings: PodSettings,
  progress: Progress,
): Promise<Awaited<ReturnType<typeof chooseEngine>>> {
  const before = await readPodFile(settings.stateDir);
  if (before?.engine === "own") return { kind: "own" };
  return await chooseEngine(settings.dockerSocket, progress);
}

/** Applies `specs` and keeps processes that are in the list of an earlier `up` under other names. */
async function applyKeeping(runDir: string, specs: readonly ProcessSpecInput[]): Promise<SupervisorClient> {
  const names = new Set(specs.map(({ name }) => name));
  const earlier = await readProcesses(runDir).catch(() => []);
  const kept = earlier
    .filter(({ name }) => !names.has(name))
    .map((spec) => ({
      ...spec,
      dependsOn: spec.dependsOn.filter(
        (needed) => names.has(needed) || earlier.some(({ name }) => name === needed),
      ),
    }));
  await writeProcesses(runDir, [...specs, ...kept]);
  const supervisor = await startDetached(runDir);
  await supervisor.apply();
  return supervisor;
}

type Waiting = {
  readonly supervisor: SupervisorClient;
  readonly progress: Progress;
  readonly signal: AbortSignal;
};

async function waitFor(
  { supervisor, progress, signal }: Waiting,
  specs: readonly ProcessSpecInput[],
  deadlineMs: number,
  versions: Readonly<Record<string, string>> = {},
): Promise<void> {
  const startedAtMs = Date.now();
  const missing = new Set(specs.map(({ name }) => name));
  await withHeartbeat(
    progress,
    () => `starting ${[...missing].join(", ")}`,
    (tell) =>
      supervisor.waitReady({
        names: specs.map(({ name }) => name),
        ...{ deadlineMs, signal },
        onReady: ({ name, readyAfterMs, adopted, sinceMs }) => {
          missing.delete(name);
          const version = versions[name] === undefined ? "" : ` ${versions[name]}`;
          tell(
            `${name}${version} ${adopted || sinceMs < startedAtMs ? "runs" : `ready in ${seconds(readyAfterMs ?? 0)}`}`,
          );
        },
      }),
  );
}

/** Joins once, by the same road as every other host, and gives its processes. */
async function thisMachine(
  settings: PodSettings,
  pki: PodPki,
  parts: Parts,
  adminToken: string,
  progress: Progress,
): Promise<readonly ProcessSpecInput[]> {
  const hostDir = join(settings.stateDir, "host");
  let host = await readHostFile(hostDir);
  if (host === null) {
    const answer = createJoinToken.reply.parse(
      await callApi(apiUrl(settings), createJoinToken, { lifetimeMinutes: 5 }, adminToken),
    );
    host = await joinHost({
      apiUrl: apiUrl(settings),
      joinToken: answer.token,
      name: settings.hostName,
      nodeAddress: settings.publicAddress,
      hostDir,
    });
    progress(`this machine joined as host ${host.name}, ${host.subnet} in the mesh`);
  }
  // The CA may have been restored, the engine's folder of certificates lost: both are cheap to write again.
  await copyFile(pki.ca.certFile, join(hostDir, "ca.crt"));
  await giveWireguardGo(hostDir, await ensureWireguardGo(join(settings.stateDir, "tools"), progress));
  const dependsOn = parts.engine === "own" ? ["dockerd"] : [];
  const { edgePort, edgeTlsPort, logLevel } = settings;
  return hostProcesses({
    hostDir,
    activatorUser: await prepareActivator(hostDir),
    dockerSocket: parts.dockerSocket,
    edgePort,
    edgeTlsPort,
    natsUrl: host.natsUrl,
    logLevel,
    dependsOn,
    env: { ...pick(settings.tuning, /^BERTH_(AGENT|ACTIVATOR)_/), ...settings.serviceEnv.agent },
  });
}

/** PostgreSQL refuses to run as root, so its own user must get to its data. */
function assertReachable(stateDir: string): void {
  const closed = closedFolderAbove(stateDir);
  if (closed === null) return;
  throw new Error(
    `the state folder ${stateDir} cannot be entered by other users because of ${closed}. Choose another with --state-dir, or: chmod o+x ${closed}`,
  );
}

function assertRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new Error(
    "berth up needs root: it runs a Docker Engine, system users and networks. Run it with sudo.",
  );
}
