/**
 * A job's states and the legal steps between them, as data.
 *
 *   requested → awarded → accepted → preparing → starting → running → stopping → finished | failed | lost
 *                                                              ⇅
 *                                                       frozen, asleep
 *
 * An illegal step is a bug; a late one (lower epoch) is dropped before it is looked at.
 */
import { z } from "zod";

export const JobState = z.enum([
  "requested",
  "awarded",
  "accepted",
  "preparing",
  "starting",
  "running",
  "frozen",
  "asleep",
  "stopping",
  "finished",
  "failed",
  "lost",
]);
export type JobState = z.infer<typeof JobState>;

/**
 * A state may be skipped forwards: observations are levels, not edges, and one may be missed.
 * `running → preparing/starting` is a restart on the same host; `lost → running` is a host that came back.
 */
const NEXT: Record<JobState, readonly JobState[]> = {
  requested: ["awarded", "finished", "failed"],
  awarded: [
    "requested",
    "accepted",
    "preparing",
    "starting",
    "running",
    "frozen",
    "asleep",
    "stopping",
    "finished",
    "failed",
    "lost",
  ],
  accepted: [
    "preparing",
    "starting",
    "running",
    "frozen",
    "asleep",
    "stopping",
    "finished",
    "failed",
    "lost",
  ],
  preparing: ["starting", "running", "frozen", "asleep", "stopping", "finished", "failed", "lost"],
  starting: ["preparing", "running", "frozen", "asleep", "stopping", "finished", "failed", "lost"],
  running: ["preparing", "starting", "frozen", "asleep", "stopping", "finished", "failed", "lost"],
  frozen: ["preparing", "starting", "running", "asleep", "stopping", "finished", "failed", "lost"],
  asleep: ["preparing", "starting", "running", "frozen", "stopping", "finished", "failed", "lost"],
  stopping: ["finished", "failed", "lost"],
  finished: [],
  failed: [],
  lost: ["preparing", "starting", "running", "frozen", "asleep", "stopping", "finished", "failed"],
};

export function canStep(from: JobState, to: JobState): boolean {
  return from === to || NEXT[from].includes(to);
}

const FINAL: ReadonlySet<JobState> = new Set(["finished", "failed"]);

/** True when nothing of the job exists on a host any more. */
export function isFinal(state: JobState): boolean {
  return FINAL.has(state);
}

/** True when a host is, or may be, holding resources for the job. */
export function holdsHost(state: JobState): boolean {
  return !FINAL.has(state) && state !== "requested" && state !== "lost";
}
