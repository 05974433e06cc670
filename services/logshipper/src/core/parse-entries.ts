/**
 * Entries of the engine's json-file log: one JSON object per line,
 * `{"log":"the text\n","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}`.
 *
 * What a container prints is escaped by the engine, so a quote in the raw bytes is always the engine's own: that makes it
 * safe to look for the beginning of an entry behind one that a power cut left unfinished.
 */
export interface Entry {
  readonly stream: "stdout" | "stderr";
  /** RFC 3339 with exactly nine digits after the point: sorts as text. */
  readonly at: string;
  /** Ends with a newline, unless the engine cut a long line into pieces, or the container ended in the middle of one. */
  readonly text: string;
  /** Bytes of the file: the entry's first one, and the one after its last. */
  readonly start: number;
  readonly end: number;
}

/** Damaged is what a crash of the machine cut or overwrote. */
export type Part = Entry | { readonly damaged: true; readonly start: number; readonly end: number };

export interface Parsed {
  readonly parts: readonly Part[];
  /** Bytes of whole lines; what follows is an entry under way. */
  readonly sizeBytes: number;
}

const NEWLINE = 0x0a;
const BEGINNING = '{"log":"';
const TIME = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z$/;

/** @param fileOffset where `data` begins in its file */
export function parseEntries(data: Buffer, fileOffset: number): Parsed {
  const parts: Part[] = [];
  let start = 0;
  for (let newline = data.indexOf(NEWLINE); newline !== -1; newline = data.indexOf(NEWLINE, start)) {
    const place = { start: fileOffset + start, end: fileOffset + newline + 1 };
    parts.push(...parseLine(data.toString("utf8", start, newline), place));
    start = newline + 1;
  }
  return { parts, sizeBytes: start };
}

function parseLine(line: string, place: { readonly start: number; readonly end: number }): Part[] {
  const whole = parseEntry(line);
  if (whole !== null) return [{ ...whole, ...place }];
  const damaged = { damaged: true, ...place } as const;
  const behind = line.lastIndexOf(BEGINNING);
  const rescued = behind > 0 ? parseEntry(line.slice(behind)) : null;
  return rescued === null ? [damaged] : [damaged, { ...rescued, ...place }];
}

function parseEntry(text: string): Pick<Entry, "stream" | "at" | "text"> | null {
  try {
    const value = JSON.parse(text) as { log?: unknown; stream?: unknown; time?: unknown } | null;
    const at = nineDigits(value?.time);
    if (at === null || typeof value?.log !== "string") return null;
    if (value.stream !== "stdout" && value.stream !== "stderr") return null;
    return { stream: value.stream, at, text: value.log };
  } catch {
    return null;
  }
}

/** The engine leaves out zeros at the end. */
function nineDigits(time: unknown): string | null {
  const [, seconds, digits = ""] = TIME.exec(typeof time === "string" ? time : "") ?? [];
  return seconds === undefined ? null : `${seconds}.${digits.padEnd(9, "0")}Z`;
}
