/**
 * Debian starts and enables the services of what is installed. Berth runs its own, with its own configuration, so
 * while it installs nothing may start, and what came with it is switched off. Services that were there before, and
 * an operator's own policy, are left alone.
 */
import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import type { Progress } from "../progress.ts";
import { run } from "../run-command.ts";

const policyPath = "/usr/sbin/policy-rc.d";
const marker = "# Made by berth for the time of one installation.";
const commandTimeoutMs = 60_000;

const servicesOf: Readonly<Record<string, readonly string[]>> = {
  haproxy: ["haproxy.service"],
  "docker-registry": ["docker-registry.service"],
  "docker.io": ["docker.service", "docker.socket", "containerd.service"],
  // Tests run Swift as a real S3 server.
  "swift-proxy": ["swift-proxy.service"],
  "swift-account": ["", "-auditor", "-reaper", "-replicator"].map((part) => `swift-account${part}.service`),
  "swift-container": ["", "-auditor", "-reconciler", "-replicator", "-sharder", "-sync", "-updater"].map(
    (part) => `swift-container${part}.service`,
  ),
  "swift-object": ["", "-auditor", "-reconstructor", "-replicator", "-updater"].map(
    (part) => `swift-object${part}.service`,
  ),
};

/** No service is started while `work` runs. A policy that a killed run of ours left is taken over. */
export async function withoutAutostart<T>(work: () => Promise<T>): Promise<T> {
  const present = await readFile(policyPath, "utf8").catch(() => null);
  const isOperators = present !== null && !present.includes(marker);
  if (!isOperators) await writeFile(policyPath, `#!/bin/sh\n${marker}\nexit 101\n`, { mode: 0o755 });
  try {
    return await work();
  } finally {
    if (!isOperators) await rm(policyPath, { force: true });
  }
}

/** Switches off what these packages, which were just installed, brought along: now and at the next boot. */
export async function disableServicesOf(packages: readonly string[], progress: Progress): Promise<void> {
  const units = packages.flatMap((name) => servicesOf[name] ?? []);
  if (units.length === 0) return;
  // deb-systemd-helper is meant for maintainer scripts and wants to hear whose it works for.
  const env = { ...process.env, DPKG_MAINTSCRIPT_PACKAGE: "berth" };
  try {
    for (const command of disableCommands(units)) await run(command, { env, timeoutMs: commandTimeoutMs });
    progress(`  Debian's own services of these are switched off (${units.join(", ")}): Berth runs its own`);
  } catch (error) {
    progress(
      `  Debian's own services could not be switched off, do it by hand: ${units.join(", ")}. ${String(error)}`,
    );
  }
}

function disableCommands(units: readonly string[]): readonly (readonly string[])[] {
  if (existsSync("/run/systemd/system")) return [["systemctl", "disable", "--now", "--quiet", ...units]];
  // Without systemd the links are still made, and would count after a change of the init system.
  const scripts = units.map((unit) => unit.split(".")[0] ?? "");
  const present = scripts.filter(
    (name, index) => existsSync(`/etc/init.d/${name}`) && scripts.indexOf(name) === index,
  );
  return [
    ["deb-systemd-helper", "disable", ...units],
    ...present.map((name) => ["update-rc.d", name, "disable"]),
  ];
}
