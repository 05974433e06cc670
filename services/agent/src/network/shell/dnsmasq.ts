/**
 * One dnsmasq: known by its configuration file, also to the next agent. Its files are in memory, as those of the kernel's
 * processes: reading one at once takes less than asking another thread for it, and a start waits for a dozen of them.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { runCommand } from "../../outbound/run-command.ts";

const PROGRAM = "/usr/sbin/dnsmasq";
const END_TRIES = 100;

export interface Dnsmasq {
  readonly configFile: string;
  readonly pidFile: string;
}

/** @returns when it answers. @throws CommandError when it does not start */
export async function start({ configFile }: Dnsmasq, prefix: readonly string[]): Promise<void> {
  await runCommand([...prefix, PROGRAM, `--conf-file=${configFile}`]);
}

/** The number may long belong to somebody else: the command line decides. */
export function pidOf({ pidFile, configFile }: Dnsmasq): number | null {
  const pid = Number(read(pidFile) ?? 0);
  if (!Number.isInteger(pid) || pid < 2) return null;
  return runs({ pid, configFile }) ? pid : null;
}

/** It runs as this process. */
export function runs({ pid, configFile }: { pid: number; configFile: string }): boolean {
  const words = (read(`/proc/${pid}/cmdline`) ?? "").split("\0");
  return words.includes(`--conf-file=${configFile}`);
}

/** Its port is free when this resolves. */
export async function end(process_: Dnsmasq): Promise<void> {
  const pid = pidOf(process_);
  if (pid === null) return;
  try {
    process.kill(pid, "SIGTERM");
  } catch {
    return;
  }
  for (let tries = 0; tries < END_TRIES && read(`/proc/${pid}/cmdline`) !== null; tries++)
    await new Promise((resolve) => setTimeout(resolve, 10));
}

export function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

/** @returns whether it was another text */
export function replace(path: string, text: string): boolean {
  if (read(path) === text) return false;
  writeFileSync(`${path}.new`, text, { mode: 0o644 });
  renameSync(`${path}.new`, path);
  return true;
}
