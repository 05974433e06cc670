/**
 * Starts, enters and ends one lab host. The host's state is what the machine shows (namespaces, processes),
 * never a remembered word: a host that died by itself is seen as dead.
 */
import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type CommandResult, command, tryCommand } from "./command.ts";
import { engineAnswers } from "./engine-http.ts";
import { dockerConfigDir, writeEngineConfig } from "./host-engine.ts";
import { forgetSupervisorState } from "./host-supervisor.ts";
import type { HostNames, LabNames } from "./lab-names.ts";
import { hostNames, labNames, socketPathLimitBytes } from "./lab-names.ts";
import { cutNetwork, ensureHostNetwork, removeHostNetwork, setRoutes } from "./lab-network.ts";
import type { HostRecord, LabRecord } from "./lab-record.ts";
import { killHostProcesses, pidsInNetns, readInitPid, removeCgroup } from "./namespace-processes.ts";

const startTimeoutMs = 10_000;
const engineTimeoutMs = 60_000;
const killTimeoutMs = 20_000;
const execTimeoutMs = 60_000;
const askEveryMs = 50;

const startScript = fileURLToPath(new URL("./start-host.sh", import.meta.url));

export interface HostHandle {
  readonly lab: LabNames;
  readonly names: HostNames;
  readonly record: HostRecord;
  readonly whole: LabRecord;
}

export function hostHandle(stateDir: string, whole: LabRecord, record: HostRecord): HostHandle {
  const lab = labNames(stateDir, whole.index);
  return { lab, names: hostNames(stateDir, whole.index, record.number), record, whole };
}

export function isRunning(names: HostNames): boolean {
  return readInitPid(names.initPidPath, names.netnsPath) !== null;
}

/** Cable, routes and processes of a host that is off. Does nothing when it runs. Ends when the engine answers. */
export async function startHost(host: HostHandle): Promise<void> {
  const { names } = host;
  if (isRunning(names)) return;
  // What a start that broke off left: a host has one set of processes.
  if (pidsInNetns(names.netnsPath).length > 0) await killHostProcesses(names, killTimeoutMs);
  forgetMemory(names);
  makeFolders(names);
  writeEngineConfig(names, host.record.boot);
  await ensureHostNetwork(host.lab, names);
  await applyRoutes(host);
  if (host.record.cut !== null) await cutNetwork(names, host.whole.rootfs, host.record.cut);
  spawnHost(host);
  await waitForInit(host);
  await waitForEngine(host);
}

/** @throws Error when the state folder's path is too long for the sockets below it. */
export function makeFolders(names: HostNames): void {
  if (Buffer.byteLength(names.dockerSocket) > socketPathLimitBytes)
    throw new Error(
      `${names.dockerSocket} is longer than the ${socketPathLimitBytes} bytes that a unix socket's path may have: ` +
        "use a shorter state folder (BERTH_STATE_DIR)",
    );
  for (const folder of ["root", "upper", "work", "docker"])
    mkdirSync(`${names.hostDir}/${folder}`, { recursive: true, mode: 0o755 });
  for (const folder of [names.runDir, names.supervisorDir, dockerConfigDir(names)])
    mkdirSync(folder, { recursive: true, mode: 0o700 });
}

/** A host that was switched off forgets its /run, and so do its sockets on the machine's side. */
function forgetMemory(names: HostNames): void {
  rmSync(names.runDir, { recursive: true, force: true });
  rmSync(names.initPidPath, { force: true });
  forgetSupervisorState(names.supervisorDir);
}

export async function applyRoutes({ names, record, whole }: HostHandle): Promise<void> {
  const own: string[] = [];
  const peers = new Map<string, string>();
  for (const [cidr, owner] of Object.entries(whole.routes)) {
    const number = whole.hosts.find((host) => host.name === owner)?.number;
    if (owner === record.name) own.push(cidr);
    else if (number !== undefined) peers.set(cidr, `10.99.${whole.index}.${number}`);
  }
  await setRoutes(names, whole.rootfs, own, peers);
}

function spawnHost({ names, record, whole }: HostHandle): void {
  const log = openSync(names.logPath, "a", 0o600);
  const environment = Object.entries(record.boot.env).map(([key, value]) => `${key}=${value}`);
  // Not `ip netns exec`: that hides the control group mounts, and dockerd then refuses to start.
  const enter = ["nsenter", `--net=${names.netnsPath}`, "unshare", "--mount", "--pid", "--uts", "--fork"];
  const script = [startScript, whole.rootfs, names.hostDir, whole.checkout, record.name];
  const boot = ["env", ...environment, ...record.boot.argv];
  const [program = "nsenter", ...args] = [...enter, ...script, ...boot];
  const child = spawn(program, args, {
    cwd: "/",
    detached: true,
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
    stdio: ["ignore", log, log],
  });
  child.on("error", () => undefined);
  child.unref();
  closeSync(log);
}

async function waitForInit({ names, record }: HostHandle): Promise<void> {
  const deadline = Date.now() + startTimeoutMs;
  while (!isRunning(names)) {
    if (Date.now() > deadline) throw new Error(`host ${record.name} did not start: ${logTail(names)}`);
    await delay(askEveryMs);
  }
}

async function waitForEngine({ names, record }: HostHandle): Promise<void> {
  const deadline = Date.now() + engineTimeoutMs;
  while (!(await engineAnswers(names.dockerSocket))) {
    if (!isRunning(names)) throw new Error(`host ${record.name} ended at its start: ${logTail(names)}`);
    if (Date.now() > deadline)
      throw new Error(
        `host ${record.name}: no Docker Engine within ${engineTimeoutMs / 1000} s: ${logTail(names)}`,
      );
    await delay(askEveryMs);
  }
}

function logTail(names: HostNames): string {
  const lines = existsSync(names.logPath) ? readFileSync(names.logPath, "utf8").trimEnd().split("\n") : [];
  return `its log (${names.logPath}) ends with\n  ${lines.slice(-12).join("\n  ")}`;
}

/** The power goes: every process at once, and all that lived in memory. The disk stays. */
export async function killHost({ names }: HostHandle): Promise<void> {
  await killHostProcesses(names, killTimeoutMs);
  forgetMemory(names);
  await removeHostNetwork(names);
  removeCgroup(names.cgroup);
}

/** Ends the host and deletes its disk. */
export async function removeHost(host: HostHandle): Promise<void> {
  await killHost(host);
  // A mount below would be somebody else's folder: it must never be walked into.
  const mounts = readFileSync("/proc/self/mountinfo", "utf8");
  if (mounts.includes(` ${host.names.hostDir}/`))
    throw new Error(
      `something is mounted below ${host.names.hostDir}: unmount it, then run 'lab down' again`,
    );
  await command(["rm", "-rf", "--one-file-system", "--", host.names.hostDir], { timeoutMs: 120_000 });
}

/** The command line that enters a running host. @throws Error when the host is off. */
export function enterHost({ names, record }: HostHandle): string[] {
  const pid = readInitPid(names.initPidPath, names.netnsPath);
  if (pid === null) throw new Error(`host ${record.name} is off: 'berth lab start ${record.name}' starts it`);
  const environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"];
  const docker = `DOCKER_HOST=unix://${names.dockerSocket}`;
  return [
    ...["nsenter", "--target", String(pid), "--mount", "--net", "--pid", "--uts"],
    ...["env", "--ignore-environment", "--chdir=/", ...environment, docker],
  ];
}

export async function execInHost(
  host: HostHandle,
  argv: readonly string[],
  timeoutMs = execTimeoutMs,
): Promise<CommandResult> {
  return await tryCommand([...enterHost(host), ...argv], { timeoutMs });
}
