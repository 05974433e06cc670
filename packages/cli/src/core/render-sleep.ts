/** A service's sleep in one line. Pure. */
import { age } from "../output/table.ts";

interface Sleep {
  readonly state: "awake" | "falling" | "asleep" | "waking";
  readonly level: "frozen" | "stopped" | "away";
  readonly cause: "asked" | "idle";
  readonly sinceMs: number;
  readonly lastColdStartMs: number | null;
  readonly lastColdStart: readonly { readonly name: string; readonly ms: number }[];
}

const LEVELS = {
  frozen: "paused, its memory stays taken",
  stopped: "its containers are stopped",
  away: "its containers are removed, the image stays",
} as const;

export function sleepLine(sleep: Sleep, nowMs: number): string {
  const { state, level, cause, sinceMs } = sleep;
  const last = lastWake(sleep);
  switch (state) {
    case "awake":
      return `awake${last}`;
    case "falling":
      return `falling asleep (${cause === "idle" ? "nobody asked for it" : "ordered"})`;
    case "asleep":
      return `asleep for ${age(sinceMs, nowMs)} (${LEVELS[level]}); its next request wakes it${last}`;
    case "waking":
      return "waking";
  }
}

/** Why the last wake took as long as it did: each stage with its share; no lines before the first wake. */
export function coldStartLines(
  sleep: Pick<Sleep, "lastColdStartMs" | "lastColdStart"> | undefined,
): string[] {
  if (sleep === undefined || sleep.lastColdStartMs === null) return [];
  const { lastColdStartMs: wholeMs, lastColdStart: stages } = sleep;
  const share = (ms: number) => `${Math.round((100 * ms) / Math.max(1, wholeMs))} %`;
  const longest = Math.max(0, ...stages.map(({ name }) => name.length));
  return [
    `its last wake took ${Math.round(wholeMs)} ms${stages.length === 0 ? "; no host told where they went" : ":"}`,
    ...stages.map(({ name, ms }) => `  ${name.padEnd(longest)}  ${Math.round(ms)} ms, ${share(ms)}`),
  ];
}

function lastWake({ lastColdStartMs, lastColdStart }: Sleep): string {
  if (lastColdStartMs === null) return "";
  const stages = lastColdStart.map(({ name, ms }) => `${name} ${Math.round(ms)}`).join(", ");
  return `; it last woke in ${Math.round(lastColdStartMs)} ms${stages === "" ? "" : ` (${stages})`}`;
}
