/**
 * Whether a service waits for nothing: it sleeps whole, and only a change of the record makes its plan another one.
 *
 * What must stay true: nothing of a service at rest follows from the clock alone. So rounds may leave it out until
 * something of it changes. Pure.
 */
import { isFinal } from "@berth/shared/domain/job-state.ts";
import type { JobView, ServiceView } from "./views.ts";

export function isAtRest(view: ServiceView): boolean {
  const { sleep, openDeploys, tasks, jobs } = view;
  if (view.deleted || sleep.state !== "asleep" || sleep.order !== null) return false;
  if (openDeploys.length + tasks.length > 0) return false;
  if (view.target !== null && !view.targetDeployExists) return false;
  return jobs.every((job) => isFinal(job.state) || liesStill(job));
}

/** Stopped, paused or removed as it was told, and nobody waits for it to go. */
function liesStill({ state, desired, rotation, leaving, away, sleep }: JobView): boolean {
  const isDown = state === "asleep" || state === "frozen";
  return isDown && sleep !== null && desired === "run" && rotation !== "draining" && !leaving && !away;
}
