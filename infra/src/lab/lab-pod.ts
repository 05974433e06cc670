/**
 * The whole pod on a lab: the control plane on the machine, listening on the lab bridge, and hosts that joined it
 * by the same road as any machine. The machine itself runs no jobs; its own engine builds images.
 *
 *   bridge → control plane on 10.99.INDEX.254 → per host: join, process list, start → every host bids
 */
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createJoinToken, listHosts } from "@berth/shared/contracts/http/api.ts";
import { activatorMayHaveUser, activatorUser, makeActivatorFolders } from "../host/activator-user.ts";
import { callApi, defaultDockerCertsDir, joinHost, readHostFile, trustRegistry } from "../host/join.ts";
import { hostProcesses } from "../host/processes.ts";
import { ensureWireguardGo, giveWireguardGo } from "../install/wireguard-go.ts";
import { reset } from "../pod/down.ts";
import { type PodSettingsInput, readPodFile } from "../pod/settings.ts";
import { type RunningPod, up } from "../pod/up.ts";
import type { Progress } from "../progress.ts";
import { connect } from "../supervisor/client.ts";
import type { ProcessSpecInput } from "../supervisor/process-spec.ts";
import { engineProcess, nodeInCheckout, setHostProcesses, supervisedBoot } from "./host-supervisor.ts";
import { type BootSite, checkout, type Lab, labDown, labUp } from "./lab.ts";
import { labNames } from "./lab-names.ts";
import { readRecord } from "./lab-record.ts";
import { activatorIds } from "./lab-rootfs.ts";

const hostReadyTimeoutMs = 90_000;
const bidTimeoutMs = 30_000;
const apiTimeoutMs = 5000;
const joinTokenMinutes = 10;
/** Kept over `lab down`: made or fetched once, the same for every lab, and slow to make. */
const keptCaches = ["cache", "tools", "stack"];

export interface LabPodOptions {
  readonly hosts: number;
  readonly stateDir: string;
  readonly index?: number;
  readonly cacheDir?: string;
  /** Ports and limits of the pod; its addresses are the lab's. */
  readonly settings?: Partial<PodSettingsInput>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly progress: Progress;
  /** False: the CLI's own credentials file is left alone (tests). */
  readonly writeCredentials?: boolean;
}

export interface LabPod {
  readonly lab: Lab;
  readonly pod: RunningPod;
  down(): Promise<void>;
}

/** Idempotent like `labUp` and `up`. @throws Error when the state folder holds a pod that is not a lab's. */
export async function labPodUp(options: LabPodOptions): Promise<LabPod> {
  const { stateDir, progress } = options;
  await refuseForeignPod(options);
  let pod: RunningPod | null = null;
  const { hosts, index, cacheDir } = options;
  const lab = await labUp({
    ...{ hosts, stateDir, withPod: true, say: progress },
    ...(index === undefined ? {} : { index }),
    ...(cacheDir === undefined ? {} : { cacheDir }),
    boot: (site) => supervisedBoot(site, checkout),
    beforeHosts: async (machineAddress) => {
      pod = await controlPlaneUp(options, machineAddress);
    },
    prepareHost: async (site) => await prepareHost(site, definite(pod), progress),
  });
  const running = definite(pod);
  await Promise.all(lab.hosts.map((host) => waitForProcesses(host, progress)));
  await waitForBids(
    running,
    lab.hosts.map((host) => host.name),
  );
  progress(`${lab.hosts.length} hosts bid for work`);
  return { lab, pod: running, down: () => labPodDown(stateDir, progress) };
}

function definite(pod: RunningPod | null): RunningPod {
  if (pod === null)
    throw new Error("the control plane must be up before a host is prepared: a bug in the lab");
  return pod;
}

/** Removes the hosts, then the control plane with its state if the lab made it, then what both stood on. */
export async function labPodDown(stateDir: string, progress: Progress): Promise<void> {
  const index = readRecord(stateDir)?.index;
  await labDown(stateDir, progress, async () => {
    const pod = await readPodFile(stateDir);
    if (pod === null) return;
    await reset({ stateDir, progress, keep: keptCaches });
    const registryPort = pod.settings.registryPort ?? 7425;
    const registry = `${labNames(stateDir, index ?? 0).machineAddress}:${String(registryPort)}`;
    rmSync(join(defaultDockerCertsDir, registry), { recursive: true, force: true });
  });
}

/** A pod that was made for another address keeps its data and its certificates: the lab must not take it over. */
async function refuseForeignPod({ stateDir, index: given }: LabPodOptions): Promise<void> {
  const index = given ?? readRecord(stateDir)?.index ?? 0;
  const pod = await readPodFile(stateDir);
  const wanted = labNames(stateDir, index).machineAddress;
  const present = pod?.settings.publicAddress;
  if (pod === null || present === wanted) return;
  throw new Error(
    `${stateDir} holds a pod that is reached at ${String(present)}, not a lab's (${wanted}): ` +
      "give the lab a state folder of its own (BERTH_STATE_DIR), or remove that pod with 'berth reset'",
  );
}

async function controlPlaneUp(options: LabPodOptions, machineAddress: string): Promise<RunningPod> {
  const { stateDir, environment, progress, writeCredentials = true } = options;
  const addresses = { listenHost: machineAddress, publicAddress: machineAddress, joinThisMachine: false };
  const pod = await up({
    settings: { ...options.settings, ...addresses, stateDir },
    ...{ environment, progress, writeCredentials },
  });
  // Images are built and pushed by the machine's own engine, which joined nothing.
  await trustRegistry(defaultDockerCertsDir, {
    registry: `${machineAddress}:${pod.settings.registryPort}`,
    caCertificatePem: await readFile(pod.caFile, "utf8"),
  });
  return pod;
}

/** The folder that `berth host join` fills, at the same path inside and outside of the host. */
export function hostBerthDir(site: BootSite): string {
  return join(site.sharedDir, "berth");
}

async function prepareHost(site: BootSite, pod: RunningPod, progress: Progress): Promise<void> {
  const hostDir = hostBerthDir(site);
  for (const folder of ["agent", "logshipper", "edge"])
    mkdirSync(join(hostDir, folder), { recursive: true, mode: 0o700 });
  await giveWireguardGo(hostDir, await ensureWireguardGo(join(pod.settings.stateDir, "tools"), progress));
  const joined = (await readHostFile(hostDir)) ?? (await joinPod(site, pod, progress));
  const mayHaveUser = activatorMayHaveUser();
  if (mayHaveUser) {
    chmodSync(site.sharedDir, 0o711); // it has a user of its own in the host, who must get to its folder
    await makeActivatorFolders(hostDir, activatorIds);
  }
  const processes = hostProcesses({
    hostDir,
    activatorUser: mayHaveUser ? activatorUser : null,
    dockerSocket: site.dockerSocket,
    edgePort: pod.settings.edgePort,
    edgeTlsPort: pod.settings.edgeTlsPort,
    natsUrl: joined.natsUrl,
    logLevel: pod.settings.logLevel,
    dependsOn: ["dockerd"],
    env: pod.settings.serviceEnv.agent ?? {},
  });
  await setHostProcesses(site, [engineProcess(site), ...processes.map(withNodeOfCheckout)]);
}

/** The Node that runs this may lie outside of the checkout, where hosts do not see it. */
function withNodeOfCheckout(spec: ProcessSpecInput): ProcessSpecInput {
  const node = nodeInCheckout(checkout);
  return { ...spec, command: spec.command.map((word) => (word === process.execPath ? node : word)) };
}

async function joinPod(
  site: BootSite,
  pod: RunningPod,
  progress: Progress,
): Promise<Awaited<ReturnType<typeof joinHost>>> {
  const { token } = createJoinToken.reply.parse(
    await callApi(pod.apiUrl, createJoinToken, { lifetimeMinutes: joinTokenMinutes }, pod.adminToken),
  );
  const host = await joinHost({
    apiUrl: pod.apiUrl,
    joinToken: token,
    name: site.name,
    nodeAddress: site.address,
    hostDir: hostBerthDir(site),
    dockerCertsDir: join(site.dockerConfigDir, "certs.d"),
  });
  progress(`${site.name}: joined, ${host.subnet} in the mesh`);
  return host;
}

async function waitForProcesses(site: BootSite, progress: Progress): Promise<void> {
  const supervisor = await connect(site.supervisorDir);
  if (supervisor === null) throw new Error(`${site.name}: its supervisor does not run`);
  await supervisor
    .waitReady({
      deadlineMs: hostReadyTimeoutMs,
      onReady: ({ name }) => progress(`${site.name}: ${name} ready`),
    })
    .catch((cause: unknown) => {
      throw new Error(`host ${site.name}: ${cause instanceof Error ? cause.message : String(cause)}`, {
        cause,
      });
    });
}

/** A host whose bid stands can be given work. */
async function waitForBids(pod: RunningPod, names: readonly string[]): Promise<void> {
  const deadline = Date.now() + bidTimeoutMs;
  for (;;) {
    const bidding = await biddingHosts(pod);
    const missing = names.filter((name) => !bidding.has(name));
    if (missing.length === 0) return;
    if (Date.now() > deadline)
      throw new Error(
        `no bid from ${missing.join(", ")} within ${bidTimeoutMs / 1000} s: see their agents' logs with ` +
          `'berth lab status', folder shared/supervisor/logs beside the socket's folder`,
      );
    await delay(200);
  }
}

async function biddingHosts(pod: RunningPod): Promise<ReadonlySet<string>> {
  const response = await fetch(new URL(listHosts.path, pod.apiUrl), {
    headers: { authorization: `Bearer ${pod.adminToken}` },
    signal: AbortSignal.timeout(apiTimeoutMs),
  });
  if (!response.ok) throw new Error(`GET ${listHosts.path}: ${response.status} ${await response.text()}`);
  const { hosts } = listHosts.reply.parse(await response.json());
  return new Set(
    hosts.filter((host) => host.state === "alive" && host.bid !== null).map((host) => host.name),
  );
}
