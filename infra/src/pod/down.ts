/**
 * `berth down` and `berth reset`.
 *
 * Down stops the apps' containers too, unless told to keep them (`--keep-apps`: an upgrade of the platform, a
 * restart of the machine's service). The agent is stopped first: it would start them again.
 */
import { existsSync } from "node:fs";
import { readFile, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { defaultDockerCertsDir, readHostFile } from "../host/join.ts";
import { endTunnels, removeHostNetworks } from "../host/remove-network.ts";
import { engineVersion, systemDockerSocket } from "../install/docker-engine.ts";
import { engineRunDir, ownDockerSocket } from "../parts/docker-engine.ts";
import type { Progress } from "../progress.ts";
import { run } from "../run-command.ts";
import { connect, startDetached } from "../supervisor/client.ts";
import { readProcesses, writeProcesses } from "../supervisor/process-spec.ts";
import { hasSurvivors } from "../supervisor/state-file.ts";
import { credentialsPath, readCredentials } from "./admin.ts";
import { withPodLock } from "./pod-lock.ts";
import { apiUrl, registryAddress } from "./services.ts";
import { PodSettings, podFilePath, readPodFile } from "./settings.ts";

const dockerTimeoutMs = 120_000;
const hostProcessNames: ReadonlySet<string> = new Set(["agent", "logshipper", "edge", "activator"]);

export type DownOptions = {
  readonly stateDir: string;
  readonly progress: Progress;
  readonly keepApps?: boolean;
  /** `reset` leaves these entries of the state folder: caches that the next pod can use. */
  readonly keep?: readonly string[];
};

export async function down(options: DownOptions): Promise<void> {
  if (!existsSync(podFilePath(options.stateDir))) throw new Error(`there is no pod in ${options.stateDir}`);
  await withPodLock(options.stateDir, "down", () =>
    stopPod(options, options.keepApps === true ? "keep" : "stop"),
  );
}

type Apps = "keep" | "stop" | "remove";

async function stopPod({ stateDir, progress }: DownOptions, apps: Apps): Promise<void> {
  const runDir = join(stateDir, "run");
  const specs = await readProcesses(runDir).catch(() => []);
  let supervisor = await connect(runDir);
  if (supervisor === null && (hasSurvivors(runDir) || apps === "remove")) {
    // Nobody watches what still runs, or the engine is needed to remove containers: only the engine is kept.
    await writeProcesses(
      runDir,
      specs.filter(({ name }) => name === "containerd" || name === "dockerd"),
    );
    supervisor = await startDetached(runDir);
  }
  if (supervisor === null) return progress("nothing runs");
  await writeProcesses(
    runDir,
    (await readProcesses(runDir)).filter(({ name }) => !hostProcessNames.has(name)),
  );
  await supervisor.apply();
  if (apps !== "keep") await endApps(stateDir, apps, progress);
  await supervisor.stop();
  await writeProcesses(runDir, []);
  progress("everything is stopped");
}

/** Containers and networks that carry this pod's label; nothing else on the engine is touched. */
async function endApps(stateDir: string, apps: "stop" | "remove", progress: Progress): Promise<void> {
  const host = await readHostFile(join(stateDir, "host"));
  const pod = await readPodFile(stateDir);
  if (host === null || pod === null) return;
  const socket =
    pod.engine === "own"
      ? ownDockerSocket(stateDir)
      : String(pod.settings.dockerSocket ?? systemDockerSocket);
  if (!(await waitForEngine(socket)))
    return progress(`no Docker Engine answers at ${socket}: containers were left as they are`);
  const docker = (...args: readonly string[]): Promise<string> =>
    run(["/usr/bin/docker", "-H", `unix://${socket}`, ...args], { timeoutMs: dockerTimeoutMs });
  const labelled = async (label: string): Promise<readonly string[]> =>
    words(await docker("ps", apps === "remove" ? "-aq" : "-q", "--filter", `label=${label}=${host.podId}`));
  const containers = [...(await labelled("berth.pod")), ...(await labelled("berth.proxy.pod"))];
  if (containers.length > 0) {
    await docker("stop", "-t", "10", ...containers);
    if (apps === "remove") await docker("rm", "-f", "-v", ...containers);
    progress(`${containers.length} containers ${apps === "remove" ? "removed" : "stopped"}`);
  }
  if (apps === "stop") return endTunnels(host.podId, join(stateDir, "host"));
  await removeHostNetworks({ podId: host.podId, hostDir: join(stateDir, "host"), docker, progress });
}

async function waitForEngine(socket: string): Promise<boolean> {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    if ((await engineVersion(socket)) !== null) return true;
    if (!existsSync(socket)) return false;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return false;
}

/** Stops the pod and removes all its state, keys included. There is no way back but a backup. */
export async function reset({ stateDir, progress, keep = [] }: DownOptions): Promise<void> {
  const pod = await readPodFile(stateDir);
  if (pod === null) throw new Error(`there is no pod in ${stateDir}: nothing was removed`);
  await withPodLock(stateDir, "reset", async () => {
    const host = await readHostFile(join(stateDir, "host")).catch(() => null);
    await stopPod({ stateDir, progress }, "remove");
    for (const folder of [stateDir, engineRunDir(stateDir)]) await unmountBelow(folder);
    await rm(engineRunDir(stateDir), { recursive: true, force: true });
    const settings = PodSettings.safeParse(pod.settings);
    if (settings.success && settings.data.role === "pod") await forgetCredentials(apiUrl(settings.data));
    const registry = host?.registry ?? (settings.success ? registryAddress(settings.data) : null);
    if (registry !== null) await rm(join(defaultDockerCertsDir, registry), { recursive: true, force: true });
    for (const name of stateEntries.filter((entry) => !keep.includes(entry)))
      await rm(join(stateDir, name), { recursive: true, force: true });
    progress(`the state in ${stateDir} is removed`);
  });
  if (keep.length > 0) return;
  await rmdir(stateDir).catch(() => progress(`${stateDir} holds files that are not Berth's; they were left`));
}

/** All that Berth makes in the state folder; pod.json last, because it says that there is a pod. */
const stateEntries = [
  ...[
    "docker",
    "containerd",
    "containerd.toml",
    "docker.json",
    "host",
    "nats",
    "objects",
    "postgres",
    "registry",
  ],
  ...["services", "stack", "cache", "demo", "run", "tools", "pki", "pod.json"],
];

/** A mount that stays would have its content removed. @throws Error when one cannot be unmounted. */
async function unmountBelow(stateDir: string): Promise<void> {
  for (const path of (await mountsBelow(stateDir)).reverse())
    await run(["umount", path], { timeoutMs: 20_000 }).catch(() => undefined);
  const left = await mountsBelow(stateDir);
  if (left.length > 0)
    throw new Error(
      `still mounted: ${left.join(", ")}. Unmount them, then run 'berth reset' again; no file was removed.`,
    );
}

async function mountsBelow(dir: string): Promise<string[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  return lines.map((line) => line.split(" ")[4] ?? "").filter((path) => path.startsWith(`${dir}/`));
}

async function forgetCredentials(url: string): Promise<void> {
  const path = credentialsPath();
  if ((await readCredentials(path))?.apiUrl === url) await rm(path, { force: true });
}

function words(text: string): readonly string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}
