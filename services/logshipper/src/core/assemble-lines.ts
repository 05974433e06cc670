/**
 * From messages to lines: the engine cuts a long line into pieces without a newline at their end, which are joined
 * again here, up to 16 KiB. What is longer is cut and marked. Invalid UTF-8 is replaced, never dropped.
 */
import type { Frame } from "./parse-frames.ts";

export const MAX_LINE_BYTES = 16 * 1024;
export const CUT_MARK = " …[cut: the line is longer than 16 KiB]";

export interface Line {
  readonly stream: "stdout" | "stderr";
  /** Time of the first piece, and of the last one: the place to go on from. */
  readonly at: string;
  readonly endAt: string;
  readonly text: string;
}

interface Open {
  readonly at: string;
  readonly pieces: Buffer[];
  readonly keptBytes: number;
  readonly isCut: boolean;
}

const NEWLINE = 0x0a;

export class LineAssembler {
  readonly #open = new Map<Frame["stream"], Open>();

  /** @returns the lines that this message ends */
  add(frame: Frame): Line[] {
    const ends = frame.bytes.at(-1) === NEWLINE;
    const bytes = ends ? frame.bytes.subarray(0, -1) : frame.bytes;
    const open = this.#joined(frame, bytes);
    if (!ends) {
      this.#open.set(frame.stream, open);
      return [];
    }
    this.#open.delete(frame.stream);
    return [toLine(frame.stream, open, frame.at)];
  }

  #joined(frame: Frame, bytes: Buffer): Open {
    const open = this.#open.get(frame.stream) ?? { at: frame.at, pieces: [], keptBytes: 0, isCut: false };
    const room = MAX_LINE_BYTES - open.keptBytes;
    // Copied: a piece must not keep the whole chunk of the stream alive.
    const piece = Buffer.from(bytes.subarray(0, room));
    return {
      at: open.at,
      pieces: [...open.pieces, piece],
      keptBytes: open.keptBytes + piece.length,
      isCut: open.isCut || bytes.length > room,
    };
  }

  /** What was printed without a newline before the stream ended. */
  end(): Line[] {
    const lines = [...this.#open].map(([stream, open]) => toLine(stream, open, open.at));
    this.#open.clear();
    return lines;
  }
}

function toLine(stream: Frame["stream"], open: Open, endAt: string): Line {
  const text = Buffer.concat(open.pieces).toString("utf8").replace(/\r$/, "");
  return { stream, at: open.at, endAt, text: open.isCut ? `${text}${CUT_MARK}` : text };
}
