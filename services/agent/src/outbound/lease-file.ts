/**
 * The leases of this boot, so that an agent that was killed and started again knows how much of them is left. A power
 * cut ends them all, so nothing is synced; a file that is missing, damaged or of another boot holds none.
 */
import { readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { z } from "zod";
import type { Lease, Leases } from "../core/decide-leases.ts";

const LeaseFileText = z.object({
  bootId: z.string(),
  leases: z.record(z.string(), z.object({ epoch: z.int().min(1), fromMs: z.number() })),
});

export class LeaseFile {
  readonly #path: string;
  readonly #bootId: string;
  #writing: Promise<void> = Promise.resolve();
  #stored = "";

  constructor(path: string, bootId: string) {
    this.#path = path;
    this.#bootId = bootId;
  }

  read(): Map<string, Lease> {
    try {
      const file = LeaseFileText.parse(JSON.parse(readFileSync(this.#path, "utf8")));
      return new Map(file.bootId === this.#bootId ? Object.entries(file.leases) : []);
    } catch {
      return new Map();
    }
  }

  /** @throws whatever the disk says */
  write(leases: Leases): Promise<void> {
    const text = JSON.stringify({ bootId: this.#bootId, leases: Object.fromEntries(leases) });
    if (text === this.#stored) return this.#writing;
    this.#stored = text;
    this.#writing = this.#writing
      .catch(() => {})
      .then(async () => {
        await writeFile(`${this.#path}.new`, text, { mode: 0o600 });
        await rename(`${this.#path}.new`, this.#path);
      });
    return this.#writing;
  }
}
