/** A service's sleep in one line. Pure. */
import { age } from "../output/table.ts";

interface Sleep {
  readonly state: "awake" | "falling" | "asleep" | "waking";
  readonly level: "frozen" | "stopped" | "away";
  readonly cause: "asked" | "idle";
  readonly sinceMs: number;
  readonly lastColdStartMs: number | null;
}

const LEVELS = {
  frozen: "paused, its memory stays taken",
  stopped: "its containers are stopped",
  away: "its containers are removed, the image stays",
} as const;

export function sleepLine({ state, level, cause, sinceMs, lastColdStartMs }: Sleep, nowMs: number): string {
  const last = lastColdStartMs === null ? "" : `; it last woke in ${Math.round(lastColdStartMs)} ms`;
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
