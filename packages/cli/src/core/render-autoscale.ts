/** Counts that follow their load, a line each. Pure. */
import type { AutoscaleState } from "@berth/shared/contracts/http/services.ts";
import { clean } from "../output/clean.ts";
import { age } from "../output/table.ts";

export function autoscaleLines(states: readonly AutoscaleState[], nowMs: number): string[] {
  return states.map(({ process, scale, min, max, reason, changedAtMs }) => {
    const since = age(changedAtMs, nowMs);
    return `${clean(process)} follows its load: ${scale} of ${min} to ${max} for ${since}: ${clean(reason)}`;
  });
}
