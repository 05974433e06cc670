/**
 * The last lines of every service, on the host's disk: two files per service, of which the older one is thrown away
 * when the newer one is full. So at least the last 1,000 lines are there, or the last 16 MiB of them.
 *
 * What must stay true: appends of one service are in order; a half-written last line (power cut) is skipped, not an
 * error; the disk used is bounded per service and in all.
 */
import { appendFile, mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { KeptLine } from "../core/kept-line.ts";
import { decodeKept, encodeKept } from "../core/kept-line.ts";
import { decodePlace, type Place } from "../core/place.ts";

export const LINES_PER_FILE = 1000;
export const BYTES_PER_FILE = 16 * 1024 * 1024;
const BYTES_IN_ALL = 4 * 1024 ** 3;
const KEPT_FOR_MS = 14 * 24 * 60 * 60 * 1000;

interface Ring {
  lines: number;
  bytes: number;
  queue: Promise<void>;
}

const NAME = /^(svc_[0-9a-z]{26})\.(new|old)\.jsonl$/;

export class RingStore {
  readonly #folder: string;
  readonly #rings = new Map<string, Ring>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @returns per container the place after its last kept line */
  async open(): Promise<Map<string, Place>> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const last = new Map<string, Place>();
    // Of each service the older file first, so that what was kept last is seen last.
    for (const name of (await readdir(this.#folder)).sort().reverse()) {
      const [, serviceId, age] = NAME.exec(name) ?? [];
      if (serviceId === undefined) continue;
      const lines = await this.#read(name);
      if (age === "new") await this.#adopt(serviceId, name, lines.length);
      for (const { container, at, place } of lines) last.set(container, decodePlace(at, place));
    }
    return last;
  }

  async #adopt(serviceId: string, name: string, lines: number): Promise<void> {
    const { size } = await stat(join(this.#folder, name));
    this.#rings.set(serviceId, { lines, bytes: size, queue: Promise.resolve() });
    const text = await readFile(join(this.#folder, name), "utf8");
    // A cut last line must not run into the next one.
    if (text !== "" && !text.endsWith("\n")) await appendFile(join(this.#folder, name), "\n");
  }

  append(serviceId: string, lines: readonly KeptLine[]): Promise<void> {
    const ring = this.#rings.get(serviceId) ?? { lines: 0, bytes: 0, queue: Promise.resolve() };
    this.#rings.set(serviceId, ring);
    ring.queue = ring.queue.catch(() => {}).then(() => this.#write(serviceId, ring, lines));
    return ring.queue;
  }

  async #write(serviceId: string, ring: Ring, lines: readonly KeptLine[]): Promise<void> {
    let text = "";
    for (const line of lines) {
      text += `${encodeKept(line)}\n`;
      ring.lines += 1;
      const isFull = ring.lines >= LINES_PER_FILE || ring.bytes + text.length >= BYTES_PER_FILE;
      if (!isFull) continue;
      await appendFile(this.#path(serviceId, "new"), text, { mode: 0o600 });
      await rename(this.#path(serviceId, "new"), this.#path(serviceId, "old"));
      text = "";
      ring.lines = 0;
      ring.bytes = 0;
    }
    if (text !== "") await appendFile(this.#path(serviceId, "new"), text, { mode: 0o600 });
    ring.bytes += text.length;
  }

  /** @returns the newest lines in the order of their times, oldest first */
  async tail(serviceId: string, count: number): Promise<KeptLine[]> {
    await this.#rings.get(serviceId)?.queue.catch(() => {});
    const newer = await this.#read(`${serviceId}.new.jsonl`);
    const older = newer.length >= count ? [] : await this.#read(`${serviceId}.old.jsonl`);
    const all = [...older, ...newer];
    // Lines of several containers arrive interleaved; ISO times of the same form sort as text.
    return all.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)).slice(-count);
  }

  async #read(name: string): Promise<KeptLine[]> {
    const text = await readFile(join(this.#folder, name), "utf8").catch(() => "");
    return text.split("\n").flatMap((line) => {
      const kept = line === "" ? null : decodeKept(line);
      return kept === null ? [] : [kept];
    });
  }

  #path(serviceId: string, age: "new" | "old"): string {
    return join(this.#folder, `${serviceId}.${age}.jsonl`);
  }

  /** Throws away what nobody wrote for two weeks, and the oldest when all together are too large. */
  async sweep(nowMs: number): Promise<void> {
    const files: { path: string; bytes: number; atMs: number }[] = [];
    for (const name of await readdir(this.#folder)) {
      if (!NAME.test(name)) continue;
      const path = join(this.#folder, name);
      const found = await stat(path).catch(() => null);
      if (found !== null) files.push({ path, bytes: found.size, atMs: found.mtimeMs });
    }
    let total = files.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const { path, bytes, atMs } of files.toSorted((a, b) => a.atMs - b.atMs)) {
      if (nowMs - atMs < KEPT_FOR_MS && total <= BYTES_IN_ALL) break;
      await rm(path, { force: true });
      total -= bytes;
    }
  }
}
