/**
 * Our own Docker Engine, where no other answers: data in the state folder, own socket, no TCP.
 *
 * live-restore keeps containers running while the daemon is away, so it may be restarted; still it is never
 * restarted for a changed setting by itself (`restartOnChange: false`).
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ProcessSpecInput } from "../supervisor/process-spec.ts";
import { ensureFolder, systemPath, writeConfig } from "./part-files.ts";

export type EngineSettings = { readonly stateDir: string; readonly filter: PacketFilter };

/**
 * Whose packet rules and forwarding containers go by. `engine`: what builds on it gets out by its rules. `agent`: the agent's
 * alone. The engine would add six for each network, by some thirty calls of `iptables` that read all rules each, so that a
 * network takes the longer the more there are, and none of them lets through or stops what the agent's do not.
 */
export type PacketFilter = "engine" | "agent";

export function ownDockerSocket(stateDir: string): string {
  return join(stateDir, "run", "docker.sock");
}

/** On a tmpfs, as Docker wants it: what lies there is void after a reboot. */
export function engineRunDir(stateDir: string): string {
  return join("/run/berth", createHash("sha256").update(stateDir).digest("hex").slice(0, 8));
}

/**
 * containerd and dockerd as two processes. Were containerd a child of dockerd, it would die with a killed dockerd
 * and the next one would wait 15 s for it; alone it lives on and dockerd is back within a second.
 */
export async function engineProcesses({
  stateDir,
  filter,
}: EngineSettings): Promise<readonly ProcessSpecInput[]> {
  const socket = ownDockerSocket(stateDir);
  const execRoot = engineRunDir(stateDir);
  const containerdSocket = join(execRoot, "containerd.sock");
  const containerdFile = join(stateDir, "containerd.toml");
  const engineFile = join(stateDir, "docker.json");
  await ensureFolder(join(stateDir, "docker"), 0o711);
  await ensureFolder(execRoot, 0o711);
  await writeConfig(containerdFile, containerdConfig(stateDir, execRoot, containerdSocket));
  await writeConfig(
    engineFile,
    engineConfig({ stateDir, socket, execRoot, containerdSocket, maxOpenFiles: hardOpenFiles(), filter }),
  );
  const lasting = {
    env: { PATH: systemPath, HOME: "/root" },
    restartOnChange: false,
    killGroupOnExit: false,
  };
  return [
    {
      ...lasting,
      name: "containerd",
      command: ["/usr/bin/containerd", "--config", containerdFile],
      readiness: { kind: "unix", path: containerdSocket },
    },
    {
      ...lasting,
      name: "dockerd",
      command: ["/usr/sbin/dockerd", "--config-file", engineFile],
      dependsOn: ["containerd"],
      readiness: { kind: "unix-http", socket, path: "/_ping" },
      readyTimeoutMs: 90_000,
      stopTimeoutMs: 60_000,
    },
  ];
}

export function containerdConfig(stateDir: string, execRoot: string, socket: string): string {
  const text = (value: string): string => JSON.stringify(value);
  return [
    "version = 2",
    `root = ${text(join(stateDir, "containerd"))}`,
    `state = ${text(join(execRoot, "containerd"))}`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    "[grpc]",
    `  address = ${text(socket)}`,
    "[debug]",
    '  level = "warn"',
    "",
  ].join("\n");
}

export type EngineConfig = {
  readonly stateDir: string;
  readonly socket: string;
  readonly execRoot: string;
  readonly containerdSocket: string;
  readonly maxOpenFiles: number;
  readonly filter: PacketFilter;
};

export function engineConfig(given: EngineConfig): string {
  const files = Math.min(65_536, given.maxOpenFiles);
  const config = {
    hosts: [`unix://${given.socket}`],
    containerd: given.containerdSocket,
    "data-root": join(given.stateDir, "docker"),
    "exec-root": given.execRoot,
    pidfile: join(given.execRoot, "docker.pid"),
    "live-restore": true,
    "userland-proxy": false,
    ...(given.filter === "engine" ? { icc: false } : { iptables: false, "ip-forward": false }),
    "no-new-privileges": true,
    "log-driver": "local",
    "log-opts": { "max-size": "10m", "max-file": "3" },
    "log-level": "warn",
    "default-ulimits": { nofile: { Name: "nofile", Soft: files, Hard: files } },
    "max-concurrent-downloads": 3,
    "shutdown-timeout": 10,
    features: { buildkit: true },
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** A container cannot have more than the machine gives this process. */
function hardOpenFiles(): number {
  const line = /^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
  return Number(line?.[1] ?? 65_536);
}
