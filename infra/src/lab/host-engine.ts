/**
 * The Docker Engine of a lab host: set like the one that Berth runs in production, apart from what a host in a
 * namespace needs (places inside its own root, its own control group).
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { engineConfig } from "../parts/docker-engine.ts";
import type { HostNames } from "./lab-names.ts";
import type { Boot } from "./lab-record.ts";

export const engineProgram = "/usr/sbin/dockerd";

/** The host's /etc/docker. */
export function dockerConfigDir(names: HostNames): string {
  return join(names.sharedDir, "etc-docker");
}

/** Where an engine is all that a host runs, no agent makes packet rules: it makes its own, as on any machine. */
export function writeEngineConfig(names: HostNames, { argv }: Boot): void {
  const { containerd: _ownContainerd, ...production } = JSON.parse(
    engineConfig({
      stateDir: "/var/lib",
      socket: names.dockerSocket,
      execRoot: "/run/docker",
      containerdSocket: "",
      maxOpenFiles: hardOpenFiles(),
      filter: argv[0] === engineProgram ? "engine" : "agent",
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
