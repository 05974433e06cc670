/**
 * wireguard-go, for kernels without WireGuard: releases from 2023 on hand segments to the kernel in bulk and carry
 * more than twice as much as the one of Debian 12. One on PATH that is new enough is used; else Debian unstable's
 * package is unpacked into the tools folder.
 */
import { access, copyFile, mkdir, readdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { sharedToolsDir } from "../pod/cache-dir.ts";
import type { Progress } from "../progress.ts";
import { run } from "../run-command.ts";
import { unpackFromSuite } from "./debian-packages.ts";
import type { Tool } from "./nats-server.ts";

/** The day in the version of the first release that segments packets. */
const minimumDay = 20_230_704;
const timeoutMs = 10_000;

/** @returns null when the kernel has WireGuard: nothing is needed then */
export async function ensureWireguardGo(toolsDir: string, progress: Progress): Promise<Tool | null> {
  if (await kernelHasWireguard()) return null;
  const shared = sharedToolsDir();
  const found =
    (await usable("wireguard-go")) ??
    (await unpacked(toolsDir)) ??
    (shared === null ? null : await unpacked(shared));
  if (found !== null) return found;
  const intoDir = shared ?? toolsDir;
  await mkdir(intoDir, { recursive: true });
  const cacheDir = join(intoDir, "apt-unstable");
  const { dir } = await unpackFromSuite(
    { name: "wireguard-go", suite: "unstable", cacheDir, progress },
    (version) => join(intoDir, `wireguard-go-${version}`),
  );
  const tool = await inFolder(dir);
  if (tool === null)
    throw new Error(
      "this kernel has no WireGuard, and Debian unstable has no wireguard-go that runs here. Put one of 2023 or later on PATH, then run this again.",
    );
  progress(`wireguard-go ${tool.version} unpacked to ${dir}`);
  return tool;
}

/** Puts it where the host's agent looks, as a copy that no upgrade takes away from running tunnels. */
export async function giveWireguardGo(hostDir: string, tool: Tool | null): Promise<void> {
  if (tool === null) return;
  const target = join(hostDir, "tools", "wireguard-go");
  if (await isSameFile(tool.path, target)) return;
  await mkdir(join(hostDir, "tools"), { recursive: true, mode: 0o755 });
  // A running program's file cannot be written to, only replaced.
  await copyFile(tool.path, `${target}.new`);
  await rename(`${target}.new`, target);
}

async function isSameFile(a: string, b: string): Promise<boolean> {
  const [left, right] = await Promise.all([a, b].map((path) => readFile(path).catch(() => null)));
  return left !== null && left !== undefined && right !== null && right !== undefined && left.equals(right);
}

async function kernelHasWireguard(): Promise<boolean> {
  const name = "wg-try0";
  try {
    await run(["ip", "link", "add", name, "type", "wireguard"], { timeoutMs });
  } catch {
    return false;
  }
  await run(["ip", "link", "delete", name], { timeoutMs }).catch(() => undefined);
  return true;
}

async function unpacked(toolsDir: string): Promise<Tool | null> {
  const folders = (await readdir(toolsDir).catch(() => [])).filter(
    (name) => name.startsWith("wireguard-go-") && !name.endsWith(".new"),
  );
  const tools = await Promise.all(folders.map((name) => inFolder(join(toolsDir, name))));
  return tools.find((tool) => tool !== null) ?? null;
}

async function inFolder(dir: string): Promise<Tool | null> {
  const path = join(dir, "usr/bin/wireguard-go");
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  return isThere ? await usable(path) : null;
}

async function usable(command: string): Promise<Tool | null> {
  const output = await run([command, "--version"], { timeoutMs }).catch(() => "");
  const version = parseWireguardGoVersion(output);
  if (version === null || !isNewEnough(version)) return null;
  const path = command.includes("/") ? command : (await run(["which", command], { timeoutMs })).trim();
  return { path, version };
}

/** "wireguard-go v0.0.20250522" → "0.0.20250522" */
export function parseWireguardGoVersion(output: string): string | null {
  return /wireguard-go v(\d+\.\d+\.\d+)/.exec(output)?.[1] ?? null;
}

export function isNewEnough(version: string): boolean {
  return Number(version.split(".")[2] ?? 0) >= minimumDay;
}
