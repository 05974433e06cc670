/**
 * How far a deploy may go now: which slots may have an instance of the new release, and which of its instances count.
 *
 * Pure. What must stay true: a process without canary and batch never has two releases in rotation; with them an instance of
 * the old release leaves a slot only when every edge serves the one that takes it over.
 */
import { ALL_AT_ONCE, isPaced, type Rollout } from "@berth/shared/domain/rollout.ts";
import { type Slot, slotKey } from "./slots.ts";
import type { JobView, ReleaseView, ServiceView } from "./views.ts";

/** An instance that crashed in this deploy counts as ready only after it held for so long. */
const PROVE_MS = 10_000;

export function rolloutOf(release: ReleaseView, process: string): Rollout {
  return release.rollouts.get(process) ?? ALL_AT_ONCE;
}

/** True when the instance is ready, and was for as long as its owner asks: one that comes and goes is not. */
export function isProven(job: JobView, release: ReleaseView, nowMs: number): boolean {
  return job.ready && nowMs - job.readySinceMs >= provenAfterMs(job, release);
}

function provenAfterMs(job: JobView, release: ReleaseView): number {
  const { minReadyMs } = rolloutOf(release, job.process);
  return Math.max(minReadyMs ?? 0, job.restartsCount > 0 ? PROVE_MS : 0);
}

/** True when the job has its requests: it is in rotation and every edge knows it, where edges serve its process. */
export function isRouted(view: ServiceView, job: JobView): boolean {
  if (job.rotation !== "in") return false;
  return job.process !== "web" || view.routed?.has(job.id) === true;
}

/**
 * @param bySlot the new release's live jobs
 * @returns slots that may have an instance now, in the order of their numbers
 */
export function openSlots(
  view: ServiceView,
  release: ReleaseView,
  wanted: ReadonlyMap<string, Slot>,
  bySlot: ReadonlyMap<string, JobView>,
  nowMs: number,
): ReadonlySet<string> {
  const open = new Set<string>();
  for (const [process, slots] of Map.groupBy(wanted.values(), (slot) => slot.process)) {
    const { canary, batch, minReadyMs } = rolloutOf(release, process);
    const settled = slots.filter(({ slot }) => {
      const job = bySlot.get(slotKey(process, slot));
      if (job === undefined || !isProven(job, release, nowMs) || !isRouted(view, job)) return false;
      // A canary is there to be watched with requests.
      return slot > (canary ?? 0) || nowMs - job.rotationSinceMs >= (minReadyMs ?? 0);
    }).length;
    const most =
      canary !== null && settled < Math.min(canary, slots.length)
        ? canary
        : settled + (batch ?? slots.length);
    for (const slot of slots.toSorted((a, b) => a.slot - b.slot).slice(0, most))
      open.add(slotKey(slot.process, slot.slot));
  }
  return open;
}

/** Slots that instances of an open deploy took over already: the release before it does not fill them again. */
export function takenOverSlots(view: ServiceView): ReadonlySet<string> {
  const { target } = view;
  const taken = new Set<string>();
  if (target === null || target.id === view.serving?.id) return taken;
  const open = view.openDeploys.find(({ releaseId }) => releaseId === target.id);
  if (open === undefined || open.state === "rolling-back") return taken;
  for (const job of view.jobs)
    if (job.deployId === open.id && job.rotation === "in" && isPaced(rolloutOf(target, job.process)))
      taken.add(slotKey(job.process, job.slot));
  return taken;
}

/**
 * The last moment at which a deploy got further: it began, its release phase ended, an instance got ready or took over.
 * An instance that comes and goes does not move it for ever: it moves by one deadline per instance at most.
 */
export function lastProgressMs(beganMs: number, jobs: readonly JobView[], deadlineMs: number): number {
  const ready = jobs.filter((job) => job.ready).map((job) => job.readySinceMs);
  const taken = jobs.filter((job) => job.rotation === "in").map((job) => job.rotationSinceMs);
  return Math.min(Math.max(beganMs, ...ready, ...taken), beganMs + deadlineMs * jobs.length);
}

/** Time that the owner asks instances to hold: no lack of progress. */
export function provingMs(release: ReleaseView): number {
  return 2 * Math.max(0, ...[...release.rollouts.values()].map(({ minReadyMs }) => minReadyMs ?? 0));
}
