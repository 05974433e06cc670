/** Joins log lines of several hosts, and stored lines with live ones, without a gap or a repeat at the seam. */
import type { LogLine } from "@berth/shared/contracts/log.ts";

export interface HostLines {
  readonly hostId: string;
  readonly lines: readonly LogLine[];
}

/** The last `count` lines of all hosts by time; lines of one host keep their order. */
export function mergeByTime(hosts: readonly HostLines[], count: number): LogLine[] {
  const all = hosts.flatMap(({ hostId, lines }) => lines.map((line, index) => ({ hostId, index, line })));
  all.sort(
    (a, b) =>
      a.line.atMs - b.line.atMs || (a.hostId < b.hostId ? -1 : a.hostId > b.hostId ? 1 : a.index - b.index),
  );
  return all.slice(Math.max(0, all.length - count)).map((entry) => entry.line);
}

/**
 * Remembers which stored lines were shown, so that the same lines arriving live are dropped once each.
 * Equal lines are counted: an app that prints one text twice is shown twice.
 */
export class Seam {
  readonly #seen = new Map<string, number>();

  constructor(hosts: readonly HostLines[]) {
    for (const { hostId, lines } of hosts) {
      for (const line of lines) {
        const key = keyOf(hostId, line);
        this.#seen.set(key, (this.#seen.get(key) ?? 0) + 1);
      }
    }
  }

  /** The lines that were not among the stored ones. */
  fresh(hostId: string, lines: readonly LogLine[]): LogLine[] {
    return lines.filter((line) => {
      const key = keyOf(hostId, line);
      const left = this.#seen.get(key) ?? 0;
      if (left > 0) this.#seen.set(key, left - 1);
      return left === 0;
    });
  }
}

function keyOf(hostId: string, line: LogLine): string {
  return `${hostId} ${line.instance} ${line.atMs} ${line.stream} ${line.text}`;
}

/**
 * Live lines that were buffered while the stored text was read: the longest start of `live` that is also the end
 * of `stored` was shown already.
 */
export function dropOverlap(stored: readonly string[], live: readonly string[]): string[] {
  for (let length = Math.min(stored.length, live.length); length > 0; length--) {
    const tail = stored.slice(stored.length - length);
    if (tail.every((line, i) => line === live[i])) return live.slice(length);
  }
  return [...live];
}
