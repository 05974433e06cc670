/** The instants of a cron's schedule in its time zone; a changed clock skips or repeats an hour as the zone says. */
import { Cron } from "croner";

/** @returns the newest instant before `nowMs`, null when there is none */
export function latestInstantMs(schedule: string, timezone: string, nowMs: number): number | null {
  const [latest] = open(schedule, timezone).previousRuns(1, new Date(nowMs));
  return latest?.getTime() ?? null;
}

export function nextInstantMs(schedule: string, timezone: string, nowMs: number): number | null {
  return open(schedule, timezone).nextRun(new Date(nowMs))?.getTime() ?? null;
}

function open(schedule: string, timezone: string): Cron {
  return new Cron(schedule, { timezone, paused: true, mode: schedule.startsWith("@") ? "auto" : "5-part" });
}
