/** Where the time of a wake went, from what the record and the host that was first say of it. Pure. */
import type { Stage } from "@berth/shared/domain/deploy-state.ts";
import { type ColdStartStage, WAKE_LISTEN, WAKE_START } from "@berth/shared/domain/sleep.ts";

/** Hosts' clocks may differ by so much from the record's. */
const SKEW_MS = 5000;

/**
 * @param wokenAtMs by the record's clock; a host's may differ, and a host may wake before the record knows: then the stage
 *   between them is 0
 * @param jobs the stages of each job that answers
 * @returns nothing for a wake that no host told of, such as one by a fresh job
 */
export function coldStartStages(
  wokenAtMs: number,
  jobs: readonly (readonly Stage[])[],
  nowMs: number,
): ColdStartStage[] {
  const wakes = jobs.flatMap((stages) => {
    const start = stages.find(({ name }) => name === WAKE_START);
    const listen = stages.find(({ name }) => name === WAKE_LISTEN);
    if (start === undefined || listen === undefined) return [];
    // An earlier wake's, of an instance that did not sleep since.
    return listen.endedAtMs < wokenAtMs - SKEW_MS ? [] : [{ start, listen }];
  });
  const [first] = wakes.toSorted((a, b) => a.listen.endedAtMs - b.listen.endedAtMs);
  if (first === undefined) return [];
  const between = (fromMs: number, toMs: number): number => Math.max(0, toMs - fromMs);
  return [
    { name: "notice", ms: between(wokenAtMs, first.start.startedAtMs) },
    { name: "start", ms: between(first.start.startedAtMs, first.start.endedAtMs) },
    { name: "listen", ms: between(first.listen.startedAtMs, first.listen.endedAtMs) },
    { name: "settle", ms: between(first.listen.endedAtMs, nowMs) },
  ];
}
