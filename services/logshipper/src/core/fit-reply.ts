/** As many of the newest lines as one message of the bus can carry. */
import type { LogLine } from "@berth/shared/contracts/log.ts";

/** The bus's limit is 1 MiB; the rest is for the envelope around the lines. */
export const MAX_REPLY_BYTES = 700_000;

export function fitReply(lines: readonly LogLine[]): { lines: readonly LogLine[]; truncated: boolean } {
  let bytes = 0;
  for (let at = lines.length - 1; at >= 0; at--) {
    bytes += Buffer.byteLength(JSON.stringify(lines[at])) + 1;
    if (bytes > MAX_REPLY_BYTES) return { lines: lines.slice(at + 1), truncated: true };
  }
  return { lines, truncated: false };
}
