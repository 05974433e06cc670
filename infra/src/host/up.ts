/**
 * `berth host join` on a machine of its own: packages, engine, keys, and the host's three processes under a
 * supervisor. `berth up`, `down` and `status` then work there as on the control plane's machine.
 */
import { join } from "node:path";
import { ensurePackages } from "../install/debian-packages.ts";
import { chooseEngine } from "../install/docker-engine.ts";
import { ensureWireguardGo, giveWireguardGo } from "../install/wireguard-go.ts";
import { engineProcesses, ownDockerSocket } from "../parts/docker-engine.ts";
import { raiseKernelLimits } from "../parts/kernel-limits.ts";
import { ensureFolder } from "../parts/part-files.ts";
import { withPodLock } from "../pod/pod-lock.ts";
import { pick } from "../pod/services.ts";
import { readPodFile, refuseSharedNetwork, resolveSettings, writePodFile } from "../pod/settings.ts";
import { type Progress, seconds } from "../progress.ts";
import { startDetached } from "../supervisor/client.ts";
import { writeProcesses } from "../supervisor/process-spec.ts";
import { prepareActivator } from "./activator-user.ts";
import { joinHost, readHostFile } from "./join.ts";
import { hostProcesses } from "./processes.ts";

const readyDeadlineMs = 120_000;
const packages = [
  "ca-certificates",
  "haproxy",
  "busybox-static",
  "iptables",
  "nftables",
  "iproute2",
  "wireguard-tools",
  "dnsmasq-base",
  "util-linux",
];

export type HostUpOptions = {
  readonly stateDir: string;
  readonly progress: Progress;
  /** `BERTH_*` settings and limits; the agent's are kept in pod.json. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly edgePort?: number;
  readonly dockerSocket?: string;
  /** Needed the first time only. */
  readonly join?: {
    readonly apiUrl: string;
    readonly joinToken: string;
    readonly name: string;
    readonly nodeAddress: string;
    readonly zone?: string;
  };
};

/** Joins when it has not, then starts what is not running. May be repeated. */
export async function hostUp(options: HostUpOptions): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new Error("a host needs root: it runs a Docker Engine and networks. Run it with sudo.");
  await ensureFolder(options.stateDir, 0o711);
  await withPodLock(options.stateDir, "host join", () => bringHostUp(options));
}

async function bringHostUp(options: HostUpOptions): Promise<void> {
  const { stateDir, progress } = options;
  const hostDir = join(stateDir, "host");
  const runDir = join(stateDir, "run");
  await ensurePackages(packages, progress);
  await ensureFolder(runDir, 0o711);
  const before = await readPodFile(stateDir);
  refuseSharedNetwork(stateDir, before);
  const { edgePort: givenPort, dockerSocket: givenSocket } = options;
  const settings = await resolveSettings(
    {
      stateDir,
      role: "host",
      ...(givenPort === undefined ? {} : { edgePort: givenPort }),
      ...(givenSocket === undefined ? {} : { dockerSocket: givenSocket }),
    },
    options.environment,
  );
  const engine =
    before?.engine === "own"
      ? ({ kind: "own" } as const)
      : await chooseEngine(settings.dockerSocket, progress);
  const host = (await readHostFile(hostDir)) ?? (await joinNow(hostDir, options));
  await writePodFile(settings, {
    engine: engine.kind === "own" ? "own" : "given",
    versions: { node: process.versions.node },
  });
  await raiseKernelLimits(progress);
  await giveWireguardGo(hostDir, await ensureWireguardGo(join(stateDir, "tools"), progress));
  const dockerSocket = engine.kind === "own" ? ownDockerSocket(stateDir) : engine.socket;
  const dependsOn = engine.kind === "own" ? ["dockerd"] : [];
  const { edgePort, edgeTlsPort, logLevel } = settings;
  const env = pick(settings.tuning, /^BERTH_(AGENT|ACTIVATOR)_/);
  const specs = [
    ...(engine.kind === "own" ? await engineProcesses({ stateDir, filter: "agent" }) : []),
    ...hostProcesses({
      activatorUser: await prepareActivator(hostDir),
      hostDir,
      dockerSocket,
      edgePort,
      edgeTlsPort,
      natsUrl: host.natsUrl,
      logLevel,
      dependsOn,
      env,
    }),
  ];
  await writeProcesses(runDir, specs);
  const supervisor = await startDetached(runDir);
  await supervisor.apply();
  const onReady = ({ name, readyAfterMs }: { name: string; readyAfterMs: number | null }): void =>
    progress(`${name} ready in ${seconds(readyAfterMs ?? 0)}`);
  await supervisor.waitReady({ deadlineMs: readyDeadlineMs, onReady });
}

async function joinNow(
  hostDir: string,
  options: HostUpOptions,
): Promise<NonNullable<Awaited<ReturnType<typeof readHostFile>>>> {
  if (options.join === undefined) {
    throw new Error(
      `this machine has not joined a pod (${hostDir}/host.json is missing). Join it with: berth host join --api URL --token TOKEN --name NAME --address ADDRESS`,
    );
  }
  const host = await joinHost({ ...options.join, hostDir });
  options.progress(`joined as ${host.name} (${host.hostId}), ${host.subnet} in the mesh`);
  return host;
}
