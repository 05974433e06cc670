/**
 * The Docker Engine of a lab host: set like the one that Berth runs in production, apart from what a host in a
 * namespace needs (places inside its own root, its own control group).
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { engineConfig } from "../parts/docker-engine.ts";
import type { HostNames } from "./lab-names.ts";

export const engineProgram = "/usr/sbin/dockerd";

/** The host's /etc/docker. */
export function dockerConfigDir(names: HostNames): string {
  return join(names.sharedDir, "etc-docker");
}

export function writeEngineConfig(names: HostNames): void {
  const { containerd: _ownContainerd, ...production } = JSON.parse(
    engineConfig({
      stateDir: "/var/lib",
      socket: names.dockerSocket,
      execRoot: "/run/docker",
      containerdSocket: "",
      maxOpenFiles: hardOpenFiles(),
      filter: "agent",
    }),
  ) as Record<string, unknown>;
  const config = {
    ...production,
    // Without `containerd` the engine starts its own.
    pidfile: "/run/docker.pid",
    "storage-driver": "overlay2",
    "exec-opts": ["native.cgroupdriver=cgroupfs"],
    "cgroup-parent": `/${names.cgroup}`,
  };
  writeFileSync(join(dockerConfigDir(names), "daemon.json"), `${JSON.stringify(config, null, 2)}\n`);
}

/** The host's processes get the limit of the process that starts the host, and containers cannot have more. */
function hardOpenFiles(): number {
  const line = /^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
  return Number(line?.[1] ?? 4096);
}
