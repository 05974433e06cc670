/** A line as it is kept on disk: one JSON array per line of a file. */
import type { LogLine } from "@berth/shared/contracts/log.ts";

export interface KeptLine extends LogLine {
  /** First 12 characters of the container's id. */
  readonly container: string;
  /** The engine's own time. */
  readonly at: string;
  /** The place after this line, as bytes of its file; empty in lines that were kept before there were such places. */
  readonly place: string;
}

type Stored = [
  at: string,
  container: string,
  instance: string,
  stream: 0 | 1,
  release: number,
  text: string,
  place?: string,
];

export function encodeKept(line: KeptLine): string {
  const stored: Stored = [
    line.at,
    line.container,
    line.instance,
    line.stream === "stderr" ? 1 : 0,
    line.release,
    line.text,
    line.place,
  ];
  return JSON.stringify(stored);
}

/** @returns null for a line that was not fully written when the power went */
export function decodeKept(text: string): KeptLine | null {
  try {
    const [at, container, instance, isError, release, line, place] = JSON.parse(text) as Stored;
    if (typeof at !== "string" || typeof line !== "string" || typeof instance !== "string") return null;
    const atMs = Date.parse(at);
    if (Number.isNaN(atMs)) return null;
    return {
      at,
      atMs,
      container,
      instance,
      stream: isError === 1 ? "stderr" : "stdout",
      release,
      text: line,
      place: typeof place === "string" ? place : "",
    };
  } catch {
    return null;
  }
}

export function toLogLine({ atMs, instance, stream, text, release }: LogLine): LogLine {
  return { atMs, instance, stream, text, release };
}
