/** One dnsmasq: known by its configuration file, also to the next agent. */
import { readFile, rename, writeFile } from "node:fs/promises";
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
export async function pidOf({ pidFile, configFile }: Dnsmasq): Promise<number | null> {
  const pid = Number((await read(pidFile)) ?? 0);
  if (!Number.isInteger(pid) || pid < 2) return null;
  return (await runs({ pid, configFile })) ? pid : null;
}

/** It runs as this process. */
export async function runs({ pid, configFile }: { pid: number; configFile: string }): Promise<boolean> {
  const words = ((await read(`/proc/${pid}/cmdline`)) ?? "").split("\0");
  return words.includes(`--conf-file=${configFile}`);
}

/** Its port is free when this resolves. */
export async function end(process_: Dnsmasq): Promise<void> {
  const pid = await pidOf(process_);
  if (pid === null) return;
  try {
    process.kill(pid, "SIGTERM");
  } catch {
    return;
  }
  for (let tries = 0; tries < END_TRIES && (await read(`/proc/${pid}/cmdline`)) !== null; tries++)
    await new Promise((resolve) => setTimeout(resolve, 10));
}

export async function read(path: string): Promise<string | null> {
  return readFile(path, "utf8").catch(() => null);
}

/** @returns whether it was another text */
export async function replace(path: string, text: string): Promise<boolean> {
  if ((await read(path)) === text) return false;
  await writeFile(`${path}.new`, text, { mode: 0o644 });
  await rename(`${path}.new`, path);
  return true;
}
