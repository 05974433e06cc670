/** The report of the newest recovery, on the host's disk: for people, and to tell a reboot from a restart. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { HostRecovery } from "@berth/shared/contracts/host.ts";
import { z } from "zod";

const File = z.object({ format: z.literal(1), bootId: z.string(), report: HostRecovery });

export class RecoveryFile {
  readonly #path: string;
  #writing: Promise<void> = Promise.resolve();

  constructor(hostDir: string) {
    this.#path = join(hostDir, "recovery.json");
  }

  /** @returns the boot of the agent's last life; null when there was none, or its file cannot be read */
  async lastBootId(): Promise<string | null> {
    try {
      return File.parse(JSON.parse(await readFile(this.#path, "utf8"))).bootId;
    } catch {
      return null;
    }
  }

  save(bootId: string, report: HostRecovery): Promise<void> {
    const mine = this.#writing
      .catch(() => {})
      .then(async () => {
        await writeFile(`${this.#path}.new`, `${JSON.stringify({ format: 1, bootId, report }, null, 2)}\n`);
        await rename(`${this.#path}.new`, this.#path);
      });
    this.#writing = mine;
    return mine;
  }
}
