/** Where each container's log was left, on disk; a quiet container's last line may be long out of its service's files. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decodePlace, encodeBytes, laterPlace, type Place } from "../core/place.ts";

export class PlaceFile {
  readonly #path: string;
  readonly #places = new Map<string, Place>();
  #isChanged = false;

  constructor(folder: string) {
    this.#path = join(folder, "positions.json");
  }

  /** @param kept the places of the last kept lines: newer than the file when the process was killed */
  async open(kept: ReadonlyMap<string, Place>): Promise<void> {
    for (const [container, place] of [...(await this.#read()), ...kept]) {
      const before = this.#places.get(container);
      this.#places.set(container, before === undefined ? place : laterPlace(place, before));
    }
  }

  async #read(): Promise<[string, Place][]> {
    try {
      const value = JSON.parse(await readFile(this.#path, "utf8")) as Record<string, unknown>;
      return Object.entries(value).flatMap(([container, stored]): [string, Place][] => {
        // A time alone is what was stored before the files were read.
        const [at, bytes] = Array.isArray(stored) ? (stored as unknown[]) : [stored];
        return typeof at === "string" ? [[container, decodePlace(at, bytes)]] : [];
      });
    } catch {
      return [];
    }
  }

  get(container: string): Place | undefined {
    return this.#places.get(container);
  }

  set(container: string, place: Place): void {
    this.#places.set(container, place);
    this.#isChanged = true;
  }

  /** A place is kept while its container is there: ids are never used again. */
  forgetOthers(containers: ReadonlySet<string>): void {
    for (const container of this.#places.keys())
      if (!containers.has(container)) this.#isChanged = this.#places.delete(container);
  }

  async write(): Promise<void> {
    if (!this.#isChanged) return;
    this.#isChanged = false;
    const stored = [...this.#places].map(([container, place]) => [container, [place.at, encodeBytes(place)]]);
    try {
      await writeFile(`${this.#path}.new`, JSON.stringify(Object.fromEntries(stored)), { mode: 0o600 });
      await rename(`${this.#path}.new`, this.#path);
    } catch (error) {
      this.#isChanged = true;
      throw error;
    }
  }
}
