/**
 * Clear secrets of running jobs: a tmpfs that only root can enter, one folder per job, mounted into its container. Beside
 * them what the container has in /etc of its network, which comes and goes with them.
 *
 * The file itself is readable by everyone, because the container's user is not known to the host; the folder above
 * (0700, root) is what keeps others out. Nothing here ever touches a disk.
 */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { chmod, mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { EtcFiles } from "../core/container-network.ts";
import { ensureTmpfs } from "./tmpfs.ts";

const SIZE = "64m";

export class SecretsFolder {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async open(): Promise<void> {
    await ensureTmpfs(this.#root, "berth-secrets", SIZE);
  }

  folder(jobId: string): string {
    return join(this.#root, jobId);
  }

  etcFolder(jobId: string): string {
    return join(this.#root, ".etc", jobId);
  }

  /** At once: in memory, and a start waits for it. */
  writeEtc(jobId: string, files: EtcFiles): void {
    const folder = this.etcFolder(jobId);
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    for (const [name, text] of Object.entries(files)) {
      const path = join(folder, name);
      writeFileSync(path, text);
      chmodSync(path, 0o444);
    }
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
    for (const folder of [this.folder(jobId), this.etcFolder(jobId)])
      await rm(folder, { recursive: true, force: true });
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
