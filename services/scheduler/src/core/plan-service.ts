/**
 * Decides what to do next for one service: desired state against observed jobs.
 *
 * Pure. The old release stays in rotation until the new one is ready and every edge acknowledged it; a failed
 * deploy stops only what it started. Steps are advice from a snapshot: the executor fences them by the leader's epoch.
 */
import { isFinal } from "@berth/shared/domain/job-state.ts";
import { takenOverSlots } from "./pace-rollout.ts";
import { planDeploy } from "./plan-deploy.ts";
import { isAsleep, planSleep } from "./plan-sleep.ts";
import { planTasks } from "./plan-tasks.ts";
import {
  claimedSlots,
  holdersOf,
  isGivenUp,
  isStopFirst,
  mayComeBack,
  retire,
  stepAside,
} from "./slot-holders.ts";
import { restartDelayMs, slotKey, wantedSlots } from "./slots.ts";
import type { DeployView, JobView, PlanLimits, ReleaseView, ServiceView, Step } from "./views.ts";

export function planService(view: ServiceView, nowMs: number, limits: PlanLimits): Step[] {
  const tasks = planTasks(view, nowMs, limits);
  if (view.deleted) return [...planRemoval(view), ...tasks];
  const steps: Step[] = [...tasks];
  if (view.target !== null && !view.targetDeployExists)
    steps.push(...beginDeploy(view, view.target, nowMs, limits));
  steps.push(...planSleep(view, nowMs, limits));
  for (const deploy of view.openDeploys) steps.push(...planDeploy(view, deploy, nowMs, limits));
  if (view.serving !== null) steps.push(...keepServing(view, view.serving, nowMs));
  steps.push(...retireOthers(view, nowMs, limits));
  // A slot is free for a new job once the step that ends the old one is taken.
  const creates = (step: Step) => step.kind === "create-job";
  return [...steps.filter((step) => !creates(step)), ...steps.filter(creates)];
}

/** The deploy and its first jobs at once: a round less until the hosts are asked. */
function beginDeploy(view: ServiceView, release: ReleaseView, nowMs: number, limits: PlanLimits): Step[] {
  const deploy: DeployView = {
    id: release.deployId,
    releaseId: release.id,
    state: "planned",
    createdAtMs: nowMs,
    stateSinceMs: nowMs,
    reasonCode: null,
    reason: null,
  };
  return [{ kind: "create-deploy", release }, ...planDeploy(view, deploy, nowMs, limits)];
}

function planRemoval(view: ServiceView): Step[] {
  const steps: Step[] = [];
  for (const deploy of view.openDeploys) {
    const to =
      deploy.state === "rolling-back" || deploy.state === "planned"
        ? "cancelled"
        : deploy.state === "draining"
          ? "succeeded"
          : "rolling-back";
    steps.push({
      kind: "step-deploy",
      deployId: deploy.id,
      to,
      reasonCode: "cancelled",
      reason: "the service was removed",
    });
  }
  for (const job of view.jobs) steps.push(...retire(job));
  if (view.serving !== null) steps.push({ kind: "set-serving", releaseId: null });
  return steps;
}

/** Every wished-for slot of the release in rotation has a live job; ready ones take traffic; surplus slots leave. */
function keepServing(view: ServiceView, serving: ReleaseView, nowMs: number): Step[] {
  const wanted = wantedSlots(view.wishes, serving);
  const claimed = claimedSlots(view);
  const takenOver = takenOverSlots(view);
  const { live, leaving, away, lost, failed } = bySlot(view, serving, nowMs);
  const steps = [...welcomeBack(view, wanted, live, away)];
  for (const job of lost) if (mayComeBack(view, job)) steps.push({ kind: "send-away", jobId: job.id });
  for (const [key, slot] of wanted) {
    const alone = isStopFirst(view, key);
    if (alone && claimed.has(key)) continue;
    if (takenOver.has(key)) continue;
    const job = live.get(key);
    if (job === undefined) {
      const past = failed.get(key) ?? [];
      const lastMs = Math.max(0, ...past.map((one) => one.updatedAtMs));
      if (isAsleep(view)) continue;
      const free = !alone || holdersOf(view, key, nowMs).length === 0;
      if (free && nowMs >= lastMs + restartDelayMs(past.length))
        steps.push({ kind: "create-job", release: serving, ...slot, alone });
      continue;
    }
    if (isAsleep(view)) {
      // It wakes elsewhere, by a fresh auction.
      if (job.hostId !== null && view.drainingHosts.has(job.hostId)) steps.push(...retire(job));
      continue;
    }
    const moves =
      job.hostId !== null && job.state !== "lost" && (job.restartAsked || view.drainingHosts.has(job.hostId));
    if (moves && alone) steps.push(...stepAside(job));
    else if (job.ready && (job.rotation === "out" || (job.rotation === "draining" && !moves && !alone)))
      steps.push({ kind: "set-rotation", jobId: job.id, rotation: "in" });
    if (moves && !alone) steps.push({ kind: "leave-host", jobId: job.id });
  }
  for (const [key, job] of live) {
    if (wanted.has(key)) continue;
    if (job.state === "lost") steps.push(...retire(job));
    else if (job.rotation === "in") steps.push({ kind: "set-rotation", jobId: job.id, rotation: "draining" });
    else if (job.rotation === "out") steps.push({ kind: "stop-job", jobId: job.id });
  }
  return [...steps, ...letLeave(view, live, leaving)];
}

interface JobsBySlot {
  /** Who holds the slot; a lost job does until it is given up. */
  readonly live: ReadonlyMap<string, JobView>;
  readonly leaving: readonly JobView[];
  readonly away: readonly JobView[];
  /** Given up, and not yet away or stopped. */
  readonly lost: readonly JobView[];
  readonly failed: ReadonlyMap<string, readonly JobView[]>;
}

function bySlot(view: ServiceView, serving: ReleaseView, nowMs: number): JobsBySlot {
  const live = new Map<string, JobView>();
  const leaving: JobView[] = [];
  const away: JobView[] = [];
  const lost: JobView[] = [];
  const failed = new Map<string, JobView[]>();
  for (const job of view.jobs) {
    if (job.releaseId !== serving.id) continue;
    const key = slotKey(job.process, job.slot);
    if (job.state === "failed") failed.set(key, [...(failed.get(key) ?? []), job]);
    else if (job.state === "finished" || job.desired === "stop") continue;
    else if (job.away) away.push(job);
    else if (job.leaving) leaving.push(job);
    else if (isGivenUp(view, job, nowMs)) lost.push(job);
    else live.set(key, job);
  }
  return { live, leaving, away, lost, failed };
}

/** The host of a replaced job is back: the job takes its slot again, and the one that replaced it leaves start-first. */
function welcomeBack(
  view: ServiceView,
  wanted: ReadonlyMap<string, unknown>,
  live: ReadonlyMap<string, JobView>,
  away: readonly JobView[],
): Step[] {
  const steps: Step[] = [];
  const taken = new Set<string>();
  for (const job of away) {
    if (job.state === "lost") continue;
    const key = slotKey(job.process, job.slot);
    if (!wanted.has(key) || taken.has(key) || !mayComeBack(view, job)) steps.push(...retire(job));
    else if (job.ready) {
      taken.add(key);
      const current = live.get(key);
      if (current !== undefined) steps.push({ kind: "leave-host", jobId: current.id });
      steps.push({ kind: "take-back", jobId: job.id });
    }
  }
  return steps;
}

/** A job that leaves its host goes when the one that took its slot is served by every edge; a useless one at once. */
function letLeave(
  view: ServiceView,
  live: ReadonlyMap<string, JobView>,
  leaving: readonly JobView[],
): Step[] {
  const steps: Step[] = [];
  for (const job of leaving) {
    const successor = live.get(slotKey(job.process, job.slot));
    const takenOver =
      successor?.ready === true && (successor.process !== "web" || view.routed?.has(successor.id) === true);
    if (job.rotation === "out") steps.push({ kind: "stop-job", jobId: job.id });
    else if (job.rotation === "in" && takenOver)
      steps.push({ kind: "set-rotation", jobId: job.id, rotation: "draining" });
  }
  return steps;
}

/**
 * Jobs of neither the release in rotation nor an open deploy leave: out of the routes first, then, when every edge
 * acknowledged that and the drain time passed, they stop. Lost jobs that were given up stop when their host comes back.
 */
function retireOthers(view: ServiceView, nowMs: number, limits: PlanLimits): Step[] {
  const steps: Step[] = [];
  const openReleases = new Set(view.openDeploys.map((deploy) => deploy.releaseId));
  for (const job of view.jobs) {
    if (isFinal(job.state) || job.desired === "stop") continue;
    const wanted = job.releaseId === view.serving?.id || openReleases.has(job.releaseId);
    if (job.state === "lost") {
      if (!wanted || !waitsForItsHost(view, job, nowMs)) steps.push(...retire(job));
      continue;
    }
    if (job.rotation === "draining") {
      const gone = view.routed !== null && !view.routed.has(job.id);
      if (gone && nowMs >= job.rotationSinceMs + limits.drainMs) steps.push(...retire(job));
      continue;
    }
    if (wanted) continue;
    if (view.target?.id === job.releaseId && !view.targetDeployExists) continue;
    if (job.rotation === "in") steps.push({ kind: "set-rotation", jobId: job.id, rotation: "draining" });
    else steps.push(...retire(job));
  }
  return steps;
}

function waitsForItsHost(view: ServiceView, job: JobView, nowMs: number): boolean {
  if (job.leaving) return false;
  return job.away || isGivenUp(view, job, nowMs) ? mayComeBack(view, job) : true;
}
