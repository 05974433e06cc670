/**
 * From entries to lines: the engine cuts a long line into pieces without a newline at their end, which are joined
 * again here, up to 16 KiB. What is longer is cut and marked. Where something is missing a line of our own says so.
 */
import type { Entry, Part } from "./parse-entries.ts";

export const MAX_LINE_BYTES = 16 * 1024;
export const CUT_MARK = " …[cut: the line is longer than 16 KiB]";
export const LOST_MARK =
  "…[lost: lines may be missing here, the log files turned over before they were read]";
export const DAMAGED_MARK = "…[lost: a part of the log file is damaged here]";

export interface Line {
  readonly stream: "stdout" | "stderr";
  /** Time of the first piece. */
  readonly at: string;
  readonly text: string;
  /** Bytes of the file: where this line ends, and from where to read again so that no open line misses its beginning. */
  readonly end: number;
  readonly from: number;
}

interface Open {
  readonly at: string;
  readonly start: number;
  readonly pieces: readonly string[];
  readonly keptBytes: number;
  readonly isCut: boolean;
}

type Stream = Entry["stream"];

export class LineAssembler {
  readonly #open = new Map<Stream, Open>();
  #mark: string | null = null;
  #end = 0;

  /** Nothing waits for a later entry. */
  get isEmpty(): boolean {
    return this.#open.size === 0 && this.#mark === null;
  }

  /** Before the next line a line says `text`. */
  mark(text: string): void {
    this.#mark = text;
  }

  /** @returns the lines that this part ends */
  add(part: Part): Line[] {
    this.#end = part.end;
    if ("damaged" in part) {
      this.#mark ??= DAMAGED_MARK;
      return [];
    }
    const marks = this.#takeMark(part);
    const ends = part.text.endsWith("\n");
    const open = joined(this.#open.get(part.stream), part, ends ? part.text.slice(0, -1) : part.text);
    if (ends) this.#open.delete(part.stream);
    else this.#open.set(part.stream, open);
    return ends ? [...marks, this.#line(part.stream, open)] : marks;
  }

  #takeMark({ stream, at, start }: Entry): Line[] {
    const text = this.#mark;
    this.#mark = null;
    return text === null ? [] : [{ stream, at, text, end: start, from: this.#from(start) }];
  }

  #line(stream: Stream, { at, pieces, isCut }: Open): Line {
    const text = pieces.join("").replace(/\r$/, "");
    const [end, from] = [this.#end, this.#from(this.#end)];
    return { stream, at, text: isCut ? `${text}${CUT_MARK}` : text, end, from };
  }

  #from(end: number): number {
    return Math.min(end, ...[...this.#open.values()].map(({ start }) => start));
  }

  /** What comes next is in another file: what is open goes on there. */
  nextFile(): void {
    for (const [stream, open] of this.#open) this.#open.set(stream, { ...open, start: 0 });
    this.#end = 0;
  }

  /** What was printed without a newline before the container ended. */
  end(): Line[] {
    const open = [...this.#open];
    this.#open.clear();
    return open.map(([stream, line]) => this.#line(stream, line));
  }
}

function joined(open: Open | undefined, { at, start }: Entry, text: string): Open {
  const before = open ?? { at, start, pieces: [], keptBytes: 0, isCut: false };
  const roomBytes = MAX_LINE_BYTES - before.keptBytes;
  const bytes = Buffer.byteLength(text);
  if (bytes <= roomBytes)
    return { ...before, pieces: [...before.pieces, text], keptBytes: before.keptBytes + bytes };
  if (before.isCut) return before;
  const piece = Buffer.from(text).toString("utf8", 0, roomBytes);
  return { ...before, pieces: [...before.pieces, piece], keptBytes: MAX_LINE_BYTES, isCut: true };
}
