/** Folders in memory that only root can enter: what is written there touches no disk. */
import { mkdir, readFile } from "node:fs/promises";
import { runCommand } from "./run-command.ts";

/** Mounts a tmpfs unless it is there: after an agent's restart its files must stay. */
export async function ensureTmpfs(path: string, name: string, size: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  if (await isTmpfs(path)) return;
  const mount = (options: string) => runCommand(["mount", "-t", "tmpfs", "-o", options, name, path]);
  const options = `size=${size},mode=0700,nosuid,nodev,noexec`;
  // Kernels before 6.4 do not know noswap.
  await mount(`${options},noswap`).catch(() => mount(options));
  if (!(await isTmpfs(path)))
    throw new Error(`${path} is not a tmpfs after mounting it: secrets would touch a disk`);
}

async function isTmpfs(wanted: string): Promise<boolean> {
  const mounts = await readFile("/proc/self/mounts", "utf8");
  return mounts.split("\n").some((line) => {
    const [, path, type] = line.split(" ");
    return type === "tmpfs" && path === wanted;
  });
}
