/**
 * What is better said before anything is installed or started: ports that somebody else has, a disk that is full.
 * Ports of processes that this pod already runs are not looked at.
 */
import { statfs } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { run } from "../run-command.ts";
import { connect } from "../supervisor/client.ts";
import { hasSurvivors } from "../supervisor/state-file.ts";
import type { PodSettings } from "./settings.ts";

/** 2.4 GB were measured with one small app; what the stack image is made from lies on the disk for a while, too. */
const firstStartBytes = 4_000_000_000;
const laterStartBytes = 300_000_000;

type PortUse = {
  readonly process: string;
  readonly what: string;
  readonly host: string;
  readonly port: number;
  readonly setting: string;
};

function portsOf(settings: PodSettings): readonly PortUse[] {
  const { listenHost: host } = settings;
  const local = "127.0.0.1";
  const all: readonly PortUse[] = [
    { process: "api", what: "api", host, port: settings.apiPort, setting: "BERTH_API_PORT" },
    { process: "git", what: "git", host, port: settings.gitPort, setting: "BERTH_GIT_PORT" },
    { process: "nats", what: "NATS", host, port: settings.natsPort, setting: "BERTH_NATS_PORT" },
    {
      process: "nats",
      what: "NATS monitoring",
      host: local,
      port: settings.natsMonitorPort,
      setting: "BERTH_NATS_MONITOR_PORT",
    },
    {
      process: "postgres",
      what: "PostgreSQL",
      host: local,
      port: settings.postgresPort,
      setting: "BERTH_POSTGRES_PORT",
    },
    {
      process: "registry",
      what: "the registry",
      host,
      port: settings.registryPort,
      setting: "BERTH_REGISTRY_PORT",
    },
    {
      process: "edge",
      what: "the apps' HTTP",
      host: "0.0.0.0",
      port: settings.edgePort,
      setting: "BERTH_EDGE_PORT",
    },
    {
      process: "edge",
      what: "the apps' HTTPS",
      host: "0.0.0.0",
      port: settings.edgeTlsPort,
      setting: "BERTH_EDGE_TLS_PORT",
    },
  ];
  return all.filter(
    ({ process }) =>
      (process !== "postgres" || settings.postgresUrl === undefined) &&
      (process !== "edge" || settings.joinThisMachine),
  );
}

/** @throws Error that names every port that is taken, by whom as far as that can be seen, and the setting. */
export async function assertFreePorts(settings: PodSettings): Promise<void> {
  const runDir = join(settings.stateDir, "run");
  const supervisor = await connect(runDir);
  // A supervisor that was killed left its processes: they are taken over.
  if (supervisor === null && hasSurvivors(runDir)) return;
  const status = await supervisor?.status();
  const ours = new Set(status?.processes.filter(({ pid }) => pid !== null).map(({ name }) => name));
  const problems: string[] = [];
  for (const use of portsOf(settings).filter(({ process }) => !ours.has(process))) {
    if (await isFree(use.host, use.port)) continue;
    const holder = await holderOf(use.port);
    problems.push(
      `port ${use.port} (${use.what}) is in use${holder === null ? "" : ` by ${holder.name}, pid ${holder.pid}`}. Stop that, or choose another port with ${use.setting}=NUMBER`,
    );
  }
  if (problems.length > 0) throw new Error(`${problems.join("\n")}\nNothing was started.`);
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(false);
      else
        reject(
          new Error(
            `cannot listen on ${host}:${port}: ${error.message}. Is ${host} an address of this machine?`,
            { cause: error },
          ),
        );
    });
    server.listen({ host, port }, () => server.close(() => resolve(true)));
  });
}

async function holderOf(port: number): Promise<{ readonly name: string; readonly pid: number } | null> {
  const output = await run(["ss", "-ltnpH", `sport = :${port}`], { timeoutMs: 5000 }).catch(() => "");
  const [, name, pid] = /users:\(\("([^"]+)",pid=(\d+)/.exec(output) ?? [];
  return name === undefined || pid === undefined ? null : { name, pid: Number(pid) };
}

/** @throws Error with what is free and what is needed. */
export async function assertDiskSpace(stateDir: string, isFirstStart: boolean): Promise<void> {
  const { bavail, bsize } = await statfs(stateDir);
  const neededBytes = isFirstStart ? firstStartBytes : laterStartBytes;
  if (bavail * bsize >= neededBytes) return;
  throw new Error(
    `${stateDir} has ${gigabytes(bavail * bsize)} free, and ${isFirstStart ? "the first start" : "a start"} needs ${gigabytes(neededBytes)}. Make room, or choose a folder on another disk with BERTH_STATE_DIR=FOLDER. Nothing was started.`,
  );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
