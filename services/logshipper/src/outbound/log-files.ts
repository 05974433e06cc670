/**
 * A container's log files, as the engine's json-file driver writes them: `PATH` is the one it writes, `PATH.1` the one
 * before, and so on; the oldest is removed when another one begins.
 *
 * One file is open as long as the container is read, so that neither a rotation nor the container's removal takes away what
 * was not read yet. A file is known by its inode and birth, because inodes are used again.
 */
import { close, constants, fstat, open, read, stat } from "node:fs";
import { promisify } from "node:util";

const MOST_FILES = 10;
const TRIES = 5;

const openFile = promisify(open);
const closeFile = promisify(close);
const readAt = promisify(read);
const factsOf = promisify(fstat) as unknown as (fd: number, options: { bigint: true }) => Promise<Facts>;
const factsAt = promisify(stat) as unknown as (path: string, options: { bigint: true }) => Promise<Facts>;

interface Facts {
  readonly ino: bigint;
  readonly birthtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly size: bigint;
}

interface Found {
  readonly path: string;
  readonly id: string;
  readonly bornNs: bigint;
}

export class LogFiles {
  readonly #path: string;
  #fd: number | null = null;
  #id = "";

  constructor(path: string) {
    this.#path = path;
  }

  get isOpen(): boolean {
    return this.#fd !== null;
  }

  /** Which file is open; of a-z, 0-9 and a point. */
  get id(): string {
    return this.#id;
  }

  /** Opens the file of that id, or else the oldest one. @returns false when there is none */
  async open(id: string): Promise<boolean> {
    return await this.#openOne((found) => found.find((file) => file.id === id) ?? found[0]);
  }

  /** Names change at a rotation: what was opened must be what was looked for. */
  async #openOne(choose: (found: readonly Found[]) => Found | undefined): Promise<boolean> {
    for (let tries = 0; tries < TRIES; tries++) {
      const wanted = choose(await this.#found());
      if (wanted === undefined) return false;
      const fd = await openFile(wanted.path, constants.O_RDONLY | constants.O_NOFOLLOW).catch(orNull);
      if (fd === null) continue;
      const id = idOf(await factsOf(fd, { bigint: true }));
      if (id !== wanted.id) {
        await closeFile(fd);
        continue;
      }
      await this.close();
      [this.#fd, this.#id] = [fd, id];
      return true;
    }
    return false;
  }

  /** Oldest first. */
  async #found(): Promise<Found[]> {
    const found: Found[] = [];
    for (let age = 0; age < MOST_FILES; age++) {
      const path = age === 0 ? this.#path : `${this.#path}.${age}`;
      const facts = await factsAt(path, { bigint: true }).catch(orNull);
      // In the middle of a rotation there is no newest one.
      if (facts !== null) found.unshift({ path, id: idOf(facts), bornNs: facts.birthtimeNs });
      else if (age > 0) break;
    }
    return found;
  }

  /** Whether the engine may still write to what is open. Asked before the end is read: then the end is the end. */
  async isNewest(): Promise<boolean> {
    const facts = await factsAt(this.#path, { bigint: true }).catch(orNull);
    return facts === null || idOf(facts) === this.#id;
  }

  /** @returns what there is from that byte on, in `buffer` */
  async read(buffer: Buffer, offset: number): Promise<Buffer> {
    const { bytesRead } = await readAt(this.#open(), buffer, 0, buffer.length, offset);
    return buffer.subarray(0, bytesRead);
  }

  async sizeBytes(): Promise<number> {
    return Number((await factsOf(this.#open(), { bigint: true })).size);
  }

  /**
   * Goes on to the file after the one that is open.
   *
   * @returns "lost" when one in between may be gone; "none" when there is none yet
   */
  async next(): Promise<"next" | "lost" | "none"> {
    const before = this.#id;
    const { ctimeNs } = await factsOf(this.#open(), { bigint: true });
    let isWhole = false;
    const found = await this.#openOne((files) => {
      const at = files.findIndex(({ id }) => id === before);
      const following = files[at + 1];
      // Ours was removed (its last change) when the second file after it began: the first one is older than that.
      isWhole = at >= 0 || (following !== undefined && following.bornNs > 0n && following.bornNs < ctimeNs);
      return following;
    });
    if (!found) return "none";
    return isWhole ? "next" : "lost";
  }

  #open(): number {
    if (this.#fd === null) throw new Error(`${this.#path} is not open`);
    return this.#fd;
  }

  async close(): Promise<void> {
    const fd = this.#fd;
    this.#fd = null;
    if (fd !== null) await closeFile(fd);
  }
}

function idOf({ ino, birthtimeNs }: Facts): string {
  return `${ino.toString(36)}.${birthtimeNs.toString(36)}`;
}

function orNull(error: NodeJS.ErrnoException): null {
  if (error.code === "ENOENT") return null;
  throw error;
}
