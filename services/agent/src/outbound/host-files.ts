/** What a host knows of itself (written by `berth host join`), and the agent's own read-only files. */
import { copyFile, mkdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { HostFile } from "@berth/shared/contracts/http/api.ts";
import { type Curve, curveFromSeed } from "@berth/shared/kit/curve.ts";
import { runCommand } from "./run-command.ts";

/** @throws Error that names the file and what to do */
export async function readHostFile(hostDir: string): Promise<HostFile> {
  const path = join(hostDir, "host.json");
  const text = await readFile(path, "utf8").catch(() => null);
  if (text === null)
    throw new Error(`${path} is not there: join this machine to a pod with \`berth host join\``);
  const parsed = HostFile.safeParse(JSON.parse(text));
  if (!parsed.success)
    throw new Error(`${path} is damaged (${parsed.error.issues[0]?.path.join(".")}): join again`);
  return parsed.data;
}

export async function readCurve(hostDir: string): Promise<Curve> {
  return curveFromSeed(await readFile(join(hostDir, "curve.seed"), "utf8"));
}

/**
 * A copy of the machine's static busybox that no package upgrade takes away from running containers.
 * @returns the folder that is mounted into every container
 */
export async function installBusybox(hostDir: string, source: string): Promise<string> {
  const folder = join(hostDir, "init");
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const target = join(folder, "busybox");
  const answer = await runCommand([source, "sh", "-c", "echo works"]).catch(() => "");
  if (answer.trim() !== "works")
    throw new Error(`${source} is not a working busybox: install the package busybox-static`);
  await copyFile(source, `${target}.new`);
  await rename(`${target}.new`, target);
  return folder;
}

/** The engine's default profile without io_uring and without everything that a capability would open. */
export async function readSeccompProfile(): Promise<string> {
  const file = new URL("../profile/seccomp.json", import.meta.url);
  return JSON.stringify(JSON.parse(await readFile(file, "utf8")));
}
