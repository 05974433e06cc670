/**
 * Which tunnels carry much. The process of one that does is scheduled as a batch (sched(7), SCHED_BATCH): its threads no
 * longer take the core from each other at every wake, which saves CPU per byte. Nor do they take it from
 * others, so that a packet waits longer where the cores are busy: who carries little keeps the usual way.
 */
import { MIB } from "@berth/shared/domain/resources.ts";

/** Received and sent together, as the plain packets count. */
const MUCH_BYTES_PER_SECOND = 16 * MIB;
const LITTLE_BYTES_PER_SECOND = 4 * MIB;
const LITTLE_FOR_MS = 5000;
/** What came in a shorter time says nothing. */
const LEAST_MS = 200;

export interface Carrying {
  readonly atMs: number;
  readonly bytes: number;
  readonly isMuch: boolean;
  /** Since when it carries little although it counts as much. */
  readonly littleSinceMs: number | null;
}

export function firstSeen(bytes: number, atMs: number, isMuch: boolean): Carrying {
  return { atMs, bytes, isMuch, littleSinceMs: null };
}

export function judgeCarrying(before: Carrying, bytes: number, atMs: number): Carrying {
  // It was made anew, and so was its process.
  if (bytes < before.bytes) return firstSeen(bytes, atMs, false);
  const tookMs = atMs - before.atMs;
  if (tookMs < LEAST_MS) return before;
  const perSecond = ((bytes - before.bytes) * 1000) / tookMs;
  const now = { atMs, bytes };
  if (!before.isMuch) return { ...now, isMuch: perSecond >= MUCH_BYTES_PER_SECOND, littleSinceMs: null };
  if (perSecond >= LITTLE_BYTES_PER_SECOND) return { ...now, isMuch: true, littleSinceMs: null };
  const littleSinceMs = before.littleSinceMs ?? before.atMs;
  const isMuch = atMs - littleSinceMs < LITTLE_FOR_MS;
  return { ...now, isMuch, littleSinceMs: isMuch ? littleSinceMs : null };
}

/** Whether so few bytes passed the host, all together, that no tunnel of it carries much. */
export function isLittle(before: Total, now: Total): boolean {
  const [bytes, tookMs] = [now.bytes - before.bytes, now.atMs - before.atMs];
  return bytes >= 0 && tookMs > 0 && (bytes * 1000) / tookMs < MUCH_BYTES_PER_SECOND;
}

export interface Total {
  readonly atMs: number;
  readonly bytes: number;
}

/** @param text of `/proc/net/netstat` @returns received and sent bytes of all IP packets; null: it does not say */
export function parseTotal(text: string): number | null {
  const [head, values] = text.split("\n").filter((line) => line.startsWith("IpExt:"));
  const [names = [], numbers = []] = [head?.split(" "), values?.split(" ").map(Number)];
  const total = ["InOctets", "OutOctets"].reduce(
    (sum, name) => sum + (numbers[names.indexOf(name)] ?? NaN),
    0,
  );
  return Number.isFinite(total) ? total : null;
}

/** @param text of `/proc/net/dev` @returns received and sent bytes of each interface */
export function parseCarried(text: string): Map<string, number> {
  const lines = text.split("\n").slice(2);
  return new Map(
    lines.flatMap((line): [string, number][] => {
      const [name = "", rest = ""] = line.split(":");
      const fields = rest.trim().split(/\s+/).map(Number);
      const bytes = (fields[0] ?? 0) + (fields[8] ?? 0);
      return fields.length < 16 || !Number.isFinite(bytes) ? [] : [[name.trim(), bytes]];
    }),
  );
}
