/**
 * A deploy's states: from a push (or a change of configuration) to traffic on the new release.
 *
 *   planned → (releasing →) starting → routing → draining → succeeded
 *                  └────────────┴──────────┴→ rolling-back → failed | cancelled | superseded
 *
 * A deploy ends in exactly one final state and says why.
 */
import { z } from "zod";

export const DeployState = z.enum([
  "planned",
  /** The release phase runs: a task with the new image, before anything of it starts. */
  "releasing",
  "starting",
  "routing",
  "draining",
  "rolling-back",
  "succeeded",
  "failed",
  "cancelled",
  "superseded",
]);
export type DeployState = z.infer<typeof DeployState>;

const NEXT: Record<DeployState, readonly DeployState[]> = {
  planned: ["releasing", "starting", "rolling-back", "failed", "cancelled", "superseded"],
  releasing: ["starting", "rolling-back"],
  starting: ["routing", "rolling-back"],
  routing: ["draining", "rolling-back"],
  draining: ["succeeded"],
  "rolling-back": ["failed", "cancelled", "superseded"],
  succeeded: [],
  failed: [],
  cancelled: [],
  superseded: [],
};

export function canStepDeploy(from: DeployState, to: DeployState): boolean {
  return from === to || NEXT[from].includes(to);
}

export function isFinalDeploy(state: DeployState): boolean {
  return NEXT[state].length === 0;
}

/** Why a deploy did not succeed; each has a text in the error catalogue. */
export const DeployFailure = z.enum([
  "build-failed",
  "never-listened",
  "crashed",
  "out-of-memory",
  "image-unavailable",
  "unplaceable",
  "start-failed",
  "deadline-passed",
  "release-failed",
  "task-failed",
  "task-interrupted",
  "cancelled",
  "superseded",
]);
export type DeployFailure = z.infer<typeof DeployFailure>;

/** A stage of the road with its wall-clock limits, as milliseconds since 1970. */
export const Stage = z.strictObject({
  name: z.string().max(40),
  startedAtMs: z.number(),
  endedAtMs: z.number(),
});
export type Stage = z.infer<typeof Stage>;
