/**
 * nats-server, 2.14 or later: older ones lack `sync_interval: always` and fixes to permissions that Berth relies on.
 * One on PATH that is new enough is used; else Debian unstable's package is unpacked into the tools folder.
 */
import { access, readdir } from "node:fs/promises";
import { join } from "node:path";
import { sharedToolsDir } from "../pod/cache-dir.ts";
import type { Progress } from "../progress.ts";
import { run } from "../run-command.ts";
import { unpackFromSuite } from "./debian-packages.ts";

const minimum = [2, 14] as const;
const versionTimeoutMs = 10_000;

export type Tool = { readonly path: string; readonly version: string };

export async function ensureNatsServer(toolsDir: string, progress: Progress): Promise<Tool> {
  const shared = sharedToolsDir();
  const found =
    (await usable("nats-server")) ??
    (await unpacked(toolsDir)) ??
    (shared === null ? null : await unpacked(shared));
  if (found !== null) return found;
  const intoDir = shared ?? toolsDir;
  const target = (version: string): string => join(intoDir, `nats-server-${version}`);
  const cacheDir = join(intoDir, "apt-unstable");
  const { dir } = await unpackFromSuite(
    { name: "nats-server", suite: "unstable", cacheDir, progress },
    target,
  );
  const tool = await inFolder(dir);
  if (tool === null) {
    throw new Error(
      `nats-server ${minimum.join(".")} or later is needed, and Debian unstable has none that runs here. Put one on PATH, then run this again.`,
    );
  }
  progress(`nats-server ${tool.version} unpacked to ${dir}`);
  return tool;
}

async function unpacked(toolsDir: string): Promise<Tool | null> {
  const folders = await readdir(toolsDir).catch(() => []);
  const tools = await Promise.all(
    folders
      .filter((name) => /^nats-server-[^/]*$/.test(name) && !name.endsWith(".new"))
      .map((name) => inFolder(join(toolsDir, name))),
  );
  const usableTools = tools
    .filter((tool) => tool !== null)
    .sort((a, b) => compareVersions(b.version, a.version));
  return usableTools[0] ?? null;
}

async function inFolder(dir: string): Promise<Tool | null> {
  for (const path of [join(dir, "usr/sbin/nats-server"), join(dir, "usr/bin/nats-server")]) {
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return await usable(path);
  }
  return null;
}

async function usable(path: string): Promise<Tool | null> {
  const output = await run([path, "--version"], { timeoutMs: versionTimeoutMs }).catch(() => "");
  const version = parseNatsVersion(output);
  return version !== null && isNewEnough(version) ? { path, version } : null;
}

/** "nats-server: v2.15.1" → "2.15.1" */
export function parseNatsVersion(output: string): string | null {
  return /v?(\d+\.\d+\.\d+)/.exec(output)?.[1] ?? null;
}

export function isNewEnough(version: string): boolean {
  return compareVersions(version, minimum.join(".")) >= 0;
}

function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split(".").map(Number), b.split(".").map(Number)];
  for (let index = 0; index < 3; index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
