/** Writes a container's log files as the engine's json-file driver does: same entries, same rotation. */
import { appendFileSync, existsSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export class JsonFile {
  readonly path: string;
  readonly #maxBytes: number;
  readonly #maxFiles: number;
  #nanos = 0;

  constructor(folder: string, { maxBytes = 1e9, maxFiles = 2 } = {}) {
    this.path = join(folder, "c-json.log");
    this.#maxBytes = maxBytes;
    this.#maxFiles = maxFiles;
    writeFileSync(this.path, "");
  }

  /** @param text with its newline, or a piece of a line */
  write(text: string, stream: "stdout" | "stderr" = "stdout"): void {
    if (statSync(this.path).size >= this.#maxBytes) this.rotate();
    this.#nanos += 1000;
    const time = `2026-11-20T16:00:00.${String(this.#nanos).padStart(9, "0").replace(/0+$/, "")}Z`;
    this.writeRaw(`${JSON.stringify({ log: text, stream, time })}\n`);
  }

  writeRaw(bytes: string): void {
    appendFileSync(this.path, bytes);
  }

  rotate(): void {
    rmSync(`${this.path}.${this.#maxFiles - 1}`, { force: true });
    for (let age = this.#maxFiles - 1; age > 1; age--)
      if (existsSync(`${this.path}.${age - 1}`)) renameSync(`${this.path}.${age - 1}`, `${this.path}.${age}`);
    renameSync(this.path, `${this.path}.1`);
    writeFileSync(this.path, "");
  }
}
