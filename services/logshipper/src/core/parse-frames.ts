/**
 * Docker's multiplexed log stream: 8 bytes of head (stream, 0, 0, 0, length in 4 bytes) and then the bytes.
 * With timestamps every frame is one message: `2026-01-02T03:04:05.123456789Z the bytes`.
 */

export interface Frame {
  readonly stream: "stdout" | "stderr";
  /** RFC 3339 with exactly nine digits after the point: sorts as text. */
  readonly at: string;
  readonly bytes: Buffer;
}

const HEAD_BYTES = 8;
/** The engine cuts messages at 16 KiB; more means that this is not such a stream. */
const MAX_FRAME_BYTES = 4 * 1024 * 1024;
const STDERR = 2;

export interface ParsedFrames {
  readonly frames: readonly Frame[];
  /** Bytes of a frame that has not fully come yet. */
  readonly rest: Buffer;
}

/** @throws Error when the bytes are no frames: the stream must be opened again */
export function parseFrames(rest: Buffer, chunk: Buffer): ParsedFrames {
  const data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
  const frames: Frame[] = [];
  let at = 0;
  while (data.length - at >= HEAD_BYTES) {
    const length = data.readUInt32BE(at + 4);
    if ((data[at] ?? 9) > STDERR || length > MAX_FRAME_BYTES)
      throw new Error("the engine's log stream is out of step");
    if (data.length - at - HEAD_BYTES < length) break;
    const start = at + HEAD_BYTES;
    frames.push(toFrame(data[at] === STDERR, data.subarray(start, start + length)));
    at = start + length;
  }
  return { frames, rest: data.subarray(at) };
}

function toFrame(isError: boolean, bytes: Buffer): Frame {
  const space = bytes.indexOf(0x20);
  return {
    stream: isError ? "stderr" : "stdout",
    at: bytes.toString("latin1", 0, space),
    bytes: bytes.subarray(space + 1),
  };
}

/** `2026-01-02T03:04:05.123456789Z` → milliseconds since 1970. */
export function toMs(at: string): number {
  return Date.parse(at);
}

/** The same instant as the engine's `since` wants it: seconds, point, nanoseconds. */
export function toSince(at: string): string {
  const nanos = /\.(\d{1,9})/.exec(at)?.[1]?.padEnd(9, "0") ?? "000000000";
  return `${Math.floor(Date.parse(at) / 1000)}.${nanos}`;
}
