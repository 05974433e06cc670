/**
 * Whether a service waits for nothing: it sleeps whole, or all that is wished for serves, and only a change of the record, or
 * of a host's state, makes its plan another one.
 *
 * What must stay true: nothing of a service at rest follows from the clock alone. So rounds may leave it out until
 * something of it changes. Pure.
 */
import { isFinal } from "@berth/shared/domain/job-state.ts";
import { slotKey, wantedSlots } from "./slots.ts";
import type { JobView, ServiceView } from "./views.ts";

export function isAtRest(view: ServiceView): boolean {
  const { sleep, openDeploys, tasks, jobs } = view;
  if (view.deleted || sleep.order !== null) return false;
  if (openDeploys.length + tasks.length > 0) return false;
  if (view.target !== null && !view.targetDeployExists) return false;
  const open = jobs.filter((job) => !isFinal(job.state));
  return sleep.state === "asleep" ? open.every(liesStill) : servesStill(view, open);
}

/** Nobody counts how long it was not asked for, and no slot waits for its next try. */
function servesStill(view: ServiceView, open: readonly JobView[]): boolean {
  const { sleep, serving, target } = view;
  if (sleep.state !== "awake" || sleep.afterMs !== null) return false;
  if (serving === null || (target !== null && target.id !== serving.id)) return false;
  const held = new Set(open.map(({ process, slot }) => slotKey(process, slot)));
  return (
    open.every((job) => job.releaseId === serving.id && standsStill(view, job)) &&
    [...wantedSlots(view.wishes, serving).keys()].every((key) => held.has(key))
  );
}

/** Serves where it is to stay. */
function standsStill({ hosts, drainingHosts }: ServiceView, job: JobView): boolean {
  const { state, ready, desired, rotation, hostId } = job;
  if (hostId === null || hosts.get(hostId)?.state !== "alive" || drainingHosts.has(hostId)) return false;
  const serves = state === "running" && ready && desired === "run" && rotation === "in";
  return serves && !job.leaving && !job.away && !job.restartAsked && job.sleep === null;
}

/** Stopped, paused or removed as it was told, and nobody waits for it to go. */
function liesStill({ state, desired, rotation, leaving, away, sleep }: JobView): boolean {
  const isDown = state === "asleep" || state === "frozen";
  return isDown && sleep !== null && desired === "run" && rotation !== "draining" && !leaving && !away;
}
