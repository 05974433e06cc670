/** When images were last needed on this host: a small file, whose loss only means that images stay longer. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

const UsesFile = z.object({ format: z.literal(1), lastUsedAtMs: z.record(z.string().max(100), z.number()) });

export class ImageUses {
  readonly #path: string;

  constructor(hostDir: string) {
    this.#path = join(hostDir, "image-uses.json");
  }

  async load(): Promise<ReadonlyMap<string, number>> {
    const text = await readFile(this.#path, "utf8").catch(() => "null");
    try {
      const parsed = UsesFile.safeParse(JSON.parse(text));
      return new Map(Object.entries(parsed.success ? parsed.data.lastUsedAtMs : {}));
    } catch {
      return new Map();
    }
  }

  async save(uses: ReadonlyMap<string, number>): Promise<void> {
    const file: z.infer<typeof UsesFile> = { format: 1, lastUsedAtMs: Object.fromEntries(uses) };
    await writeFile(`${this.#path}.new`, JSON.stringify(file), { mode: 0o600 });
    await rename(`${this.#path}.new`, this.#path);
  }
}
