/** The lab's hosts as the arms need them, and their engines as all arms can use them. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Lab } from "@berth/infra/lab/lab.ts";
import { hostNames } from "@berth/infra/lab/lab-names.ts";
import { z } from "zod";
import type { Site } from "./arm.ts";
import { Engine } from "./engine.ts";

const reloadTimeoutMs = 10_000;
const info = z.object({ ServerVersion: z.string(), LiveRestoreEnabled: z.boolean() });

export function sitesOf(lab: Lab): Site[] {
  return lab.hosts.map(({ name, address, dockerSocket }) => {
    const { netnsPath } = hostNames(lab.stateDir, lab.index, Number(name.slice(1)));
    return { name, address, netnsPath, dockerSocket, engine: new Engine(name, dockerSocket) };
  });
}

/**
 * An engine that keeps containers alive without itself refuses Swarm, so the setting is off for all arms.
 * @returns the engines' version
 */
export async function prepareEngines(lab: Lab, sites: readonly Site[]): Promise<string> {
  for (const host of lab.hosts) {
    const file = join(host.dockerConfigDir, "daemon.json");
    const config = JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
    await writeFile(file, `${JSON.stringify({ ...config, "live-restore": false }, null, 2)}\n`);
    const { code, stderr } = await host.exec(["sh", "-c", "kill -HUP $(pidof dockerd)"]);
    if (code !== 0)
      throw new Error(`${host.name}: its engine could not be told to read its settings: ${stderr}`);
  }
  const versions = await Promise.all(sites.map(untilReloaded));
  return versions[0] ?? "unknown";
}

async function untilReloaded({ name, engine }: Site): Promise<string> {
  const endAtMs = performance.now() + reloadTimeoutMs;
  for (;;) {
    const { ServerVersion, LiveRestoreEnabled } = await engine.ask(info, "GET", "/info");
    if (!LiveRestoreEnabled) return ServerVersion;
    if (performance.now() > endAtMs)
      throw new Error(`${name}: live-restore is still on ${reloadTimeoutMs / 1000} s after a reload`);
    await delay(100);
  }
}
