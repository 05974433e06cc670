/**
 * Clear secrets of running jobs: a tmpfs that only root can enter, one folder per job, mounted into its container.
 *
 * The file itself is readable by everyone, because the container's user is not known to the host; the folder above
 * (0700, root) is what keeps others out. Nothing here ever touches a disk.
 */
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "./run-command.ts";

const SIZE = "64m";

export class SecretsFolder {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** Mounts the tmpfs unless it is there: after an agent's restart the running jobs' files must stay. */
  async open(): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    if (await this.#isTmpfs()) return;
    const mount = (options: string) =>
      runCommand(["mount", "-t", "tmpfs", "-o", options, "berth-secrets", this.#root]);
    const options = `size=${SIZE},mode=0700,nosuid,nodev,noexec`;
    // Kernels before 6.4 do not know noswap.
    await mount(`${options},noswap`).catch(() => mount(options));
    if (!(await this.#isTmpfs()))
      throw new Error(`${this.#root} is not a tmpfs after mounting it: secrets would touch a disk`);
  }

  async #isTmpfs(): Promise<boolean> {
    const mounts = await readFile("/proc/self/mounts", "utf8");
    return mounts.split("\n").some((line) => {
      const [, path, type] = line.split(" ");
      return type === "tmpfs" && path === this.#root;
    });
  }

  folder(jobId: string): string {
    return join(this.#root, jobId);
  }

  async write(jobId: string, envText: string): Promise<void> {
    const folder = this.folder(jobId);
    await mkdir(folder, { recursive: true, mode: 0o755 });
    const temporary = join(folder, ".env.new");
    await writeFile(temporary, envText, { mode: 0o444 });
    await chmod(temporary, 0o444);
    await rename(temporary, join(folder, "env"));
  }

  async wipe(jobId: string): Promise<void> {
    await rm(this.folder(jobId), { recursive: true, force: true });
  }

  async jobsWithSecrets(): Promise<Set<string>> {
    const written = new Set<string>();
    for (const name of await readdir(this.#root)) {
      const files = await readdir(this.folder(name)).catch((): string[] => []);
      if (files.includes("env")) written.add(name);
    }
    return written;
  }
}
