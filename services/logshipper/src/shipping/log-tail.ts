/**
 * Reads one container's log files: keeps every line, tells it live, remembers the place. It holds one file descriptor, and
 * nothing else but the place while the container says nothing.
 */
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import { type Line, LineAssembler, LOST_MARK } from "../core/assemble-lines.ts";
import type { KeptLine } from "../core/kept-line.ts";
import { type Part, parseEntries } from "../core/parse-entries.ts";
import { encodeBytes } from "../core/place.ts";
import type { JobContainer } from "../outbound/docker.ts";
import { LogFiles } from "../outbound/log-files.ts";
import type { PlaceFile } from "../outbound/place-file.ts";
import type { RingStore } from "../outbound/ring-store.ts";
import type { LiveSender } from "./live-sender.ts";

/** A line of ours before a file's first entry ends at byte 0. */
const NOTHING_KEPT = -1;

export interface TailGiven {
  readonly rings: Pick<RingStore, "append">;
  readonly live: Pick<LiveSender, "add">;
  readonly places: PlaceFile;
  readonly log: Log;
}

export class LogTail {
  readonly container: JobContainer;
  readonly #given: TailGiven;
  readonly #files: LogFiles;
  /** Only while lines are open. */
  #lines: LineAssembler | null = null;
  #isPlaced = false;
  #offset = 0;
  /** Of the open file: lines that end up to here are kept. */
  #uptoBytes = NOTHING_KEPT;
  /** The file of the place is gone: what is not later than `upto` was kept, and `seen` once some of it was there. */
  #skip: { readonly upto: string; seen: boolean } | null = null;

  constructor(given: TailGiven, container: JobContainer, path: string) {
    this.#given = given;
    this.container = container;
    this.#files = new LogFiles(path);
  }

  get #key(): string {
    return this.container.id.slice(0, 12);
  }

  /**
   * Reads on, at most so much as fits into `buffer`.
   *
   * @returns whether there may be more to read at once
   * @throws Error when lines cannot be read or kept; the next call begins at the place again
   */
  async read(buffer: Buffer): Promise<boolean> {
    return await this.#fromPlaceAfterError(async () => {
      if (!this.#isPlaced && !(await this.#goToPlace())) return false;
      const isNewest = await this.#files.isNewest();
      const bytes = await this.#files.read(buffer, this.#offset);
      const { parts, sizeBytes } = wholeEntries(bytes, this.#offset, {
        isFull: bytes.length === buffer.length,
      });
      await this.#take(parts);
      this.#offset += sizeBytes;
      if (sizeBytes > 0) return bytes.length === buffer.length || !isNewest;
      if (!isNewest) return await this.#goOn(bytes.length > 0);
      return bytes.length === 0 && (await this.#wasTruncated());
    });
  }

  /** What is open stays open: it may be the last of a removed container. */
  async #fromPlaceAfterError<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.#lines = null;
      this.#isPlaced = false;
      throw error;
    }
  }

  async #goToPlace(): Promise<boolean> {
    const place = this.#given.places.get(this.#key);
    const wasOpen = this.#files.isOpen;
    if (!wasOpen && !(await this.#files.open(place?.file ?? ""))) return false;
    const isThere = place !== undefined && place.file === this.#files.id;
    this.#offset = isThere ? place.fromBytes : 0;
    this.#uptoBytes = isThere ? place.uptoBytes : NOTHING_KEPT;
    const seen = wasOpen || place?.file === "";
    this.#skip = place === undefined || isThere ? null : { upto: place.at, seen };
    this.#isPlaced = true;
    return true;
  }

  async #take(parts: readonly Part[]): Promise<void> {
    const lines = this.#lines ?? new LineAssembler();
    const fresh = parts.filter((part) => this.#isFresh(part, lines));
    await this.#keep(fresh.flatMap((part) => lines.add(part)).filter(({ end }) => end > this.#uptoBytes));
    this.#lines = lines.isEmpty ? null : lines;
  }

  /** Where nothing is left of what was kept, more than that may be missing. */
  #isFresh(part: Part, lines: LineAssembler): boolean {
    const skip = this.#skip;
    if (skip === null) return true;
    if ("damaged" in part) return false;
    if (part.at <= skip.upto) {
      skip.seen = true;
      return false;
    }
    if (!skip.seen) this.#noteLost(lines);
    this.#skip = null;
    return true;
  }

  #noteLost(lines: LineAssembler): void {
    lines.mark(LOST_MARK);
    this.#given.log.warn("logs.lost", { container: this.#key, serviceId: this.container.serviceId });
  }

  /** @param isCut an entry at the end of the file is not whole, and never will be */
  async #goOn(isCut: boolean): Promise<boolean> {
    const lines = this.#lines ?? new LineAssembler();
    if (isCut) lines.add({ damaged: true, start: this.#offset, end: this.#offset });
    const next = await this.#files.next();
    if (next === "none") return false;
    lines.nextFile();
    if (next === "lost") this.#noteLost(lines);
    this.#lines = lines.isEmpty ? null : lines;
    [this.#offset, this.#uptoBytes] = [0, NOTHING_KEPT];
    return true;
  }

  /** The engine does so when it may keep one file only, and people do. */
  async #wasTruncated(): Promise<boolean> {
    if ((await this.#files.sizeBytes()) >= this.#offset) return false;
    this.#lines ??= new LineAssembler();
    this.#lines.nextFile();
    this.#noteLost(this.#lines);
    [this.#offset, this.#uptoBytes] = [0, NOTHING_KEPT];
    return true;
  }

  /** The container has ended and was read: what it printed without a newline is its last line. */
  async end(): Promise<void> {
    const lines = this.#lines?.end() ?? [];
    await this.#fromPlaceAfterError(() => this.#keep(lines));
    this.#lines = null;
  }

  /** On disk first, then live: a reader who asks for the tail after seeing a line finds it. */
  async #keep(lines: readonly Line[]): Promise<void> {
    const last = lines.at(-1);
    if (last === undefined) return;
    const { serviceId, environmentId } = this.container;
    const kept = lines.map((line) => this.#kept(line));
    await this.#given.rings.append(serviceId, kept);
    const [file, fromBytes, uptoBytes] = [this.#files.id, last.from, last.end];
    this.#given.places.set(this.#key, { file, fromBytes, uptoBytes, at: last.at });
    for (const { atMs, instance, stream, text, release } of kept)
      this.#given.live.add(environmentId, serviceId, { atMs, instance, stream, text, release });
  }

  #kept({ at, stream, text, from, end }: Line): KeptLine {
    const { instance, release } = this.container;
    const place = encodeBytes({ file: this.#files.id, fromBytes: from, uptoBytes: end });
    return { at, atMs: Date.parse(at), container: this.#key, instance, release, stream, text, place };
  }

  async close(): Promise<void> {
    await this.#files
      .close()
      .catch((error: unknown) =>
        this.#given.log.warn("logs.close-failed", { container: this.#key, error: describeError(error) }),
      );
  }
}

/** @param isFull there may be more of the file: without a newline in all of it, this is no log of the engine's */
function wholeEntries(bytes: Buffer, offset: number, { isFull }: { readonly isFull: boolean }) {
  const parsed = parseEntries(bytes, offset);
  if (parsed.sizeBytes > 0 || !isFull) return parsed;
  const end = offset + bytes.length;
  return { parts: [{ damaged: true, start: offset, end } as const], sizeBytes: bytes.length };
}
