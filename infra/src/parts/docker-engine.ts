/**
 * Our own Docker Engine, where no other answers: data in the state folder, own socket, no TCP.
 *
 * live-restore keeps containers running while the daemon is away, so it may be restarted; still it is never
 * restarted for a changed setting by itself (`restartOnChange: false`).
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { ProcessSpecInput } from "../supervisor/process-spec.ts";
import { ensureFolder, systemPath, writeConfig } from "./part-files.ts";

export type EngineSettings = { readonly stateDir: string };

export function ownDockerSocket(stateDir: string): string {
  return join(stateDir, "run", "docker.sock");
}

export async function engineProcess({ stateDir }: EngineSettings): Promise<ProcessSpecInput> {
  const socket = ownDockerSocket(stateDir);
  const configFile = join(stateDir, "docker.json");
  // On a tmpfs, as Docker wants it: what lies there is void after a reboot.
  const execRoot = join("/run/berth", createHash("sha256").update(stateDir).digest("hex").slice(0, 8));
  await ensureFolder(join(stateDir, "docker"), 0o711);
  await ensureFolder(execRoot, 0o711);
  await writeConfig(configFile, engineConfig(stateDir, socket, execRoot));
  return {
    name: "dockerd",
    command: ["/usr/sbin/dockerd", "--config-file", configFile],
    env: { PATH: systemPath, HOME: "/root" },
    readiness: { kind: "unix-http", socket, path: "/_ping" },
    readyTimeoutMs: 90_000,
    stopTimeoutMs: 60_000,
    restartOnChange: false,
    killGroupOnExit: false,
  };
}

export function engineConfig(stateDir: string, socket: string, execRoot: string): string {
  const config = {
    hosts: [`unix://${socket}`],
    "data-root": join(stateDir, "docker"),
    "exec-root": execRoot,
    pidfile: join(execRoot, "docker.pid"),
    "live-restore": true,
    "userland-proxy": false,
    icc: false,
    "no-new-privileges": true,
    "log-driver": "local",
    "log-opts": { "max-size": "10m", "max-file": "3" },
    "log-level": "warn",
    "default-ulimits": { nofile: { Name: "nofile", Soft: 65_536, Hard: 65_536 } },
    "max-concurrent-downloads": 3,
    "shutdown-timeout": 10,
    features: { buildkit: true },
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
