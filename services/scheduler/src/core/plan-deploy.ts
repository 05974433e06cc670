/**
 * Decides the next steps of one open deploy.
 *
 *   planned ─▶ (releasing: the release phase) ─▶ starting ─(all ready)─▶ routing ─(every edge acknowledged)─▶ draining ─▶ succeeded
 *                  └──── a job failed, no host, deadline, cancelled, superseded ────▶ rolling-back ─▶ its final state
 */
import { assertNever } from "@berth/shared/domain/assert.ts";
import type { DeployState } from "@berth/shared/domain/deploy-state.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import { isPaced } from "@berth/shared/domain/rollout.ts";
import { RELEASE_PROCESS } from "@berth/shared/domain/tasks.ts";
import { isProven, isRouted, lastProgressMs, openSlots, provingMs, rolloutOf } from "./pace-rollout.ts";
import { isOpen, releasePhase } from "./plan-tasks.ts";
import { holdersOf, isGivenUp, isStopFirst, stepAside } from "./slot-holders.ts";
import { slotKey, wantedSlots } from "./slots.ts";
import type { DeployView, JobView, PlanLimits, ReleaseView, ServiceView, Step } from "./views.ts";

/** As many of the last lines as fit: a stack trace ends with its least telling ones. */
const LAST_WORDS_CHARACTERS = 900;
const LINE_CHARACTERS = 150;
/** One that never gets ready fails at its host; this is for instances that get ready and crash, again and again. */
const CRASH_BUDGET = 3;

export function planDeploy(view: ServiceView, deploy: DeployView, nowMs: number, limits: PlanLimits): Step[] {
  const release = view.target?.id === deploy.releaseId ? view.target : null;
  const jobs = view.jobs.filter((job) => job.deployId === deploy.id);
  switch (deploy.state) {
    case "planned":
    case "releasing":
    case "starting":
    case "routing": {
      const stop = reasonToStop(view, deploy, release, jobs, nowMs, limits);
      if (stop !== null) return abandon(deploy, stop);
      if (!isReleased(view, deploy, release as ReleaseView))
        return runRelease(view, deploy, release as ReleaseView);
      return advance(view, deploy, release as ReleaseView, jobs, nowMs);
    }
    case "draining":
      return finishDrain(view, deploy);
    case "rolling-back":
      return rollBack(view, deploy, jobs, nowMs, limits);
    case "succeeded":
    case "failed":
    case "cancelled":
    case "superseded":
      return [];
    default:
      return assertNever(deploy.state);
  }
}

interface StopReason {
  readonly code: string;
  readonly text: string;
}

function reasonToStop(
  view: ServiceView,
  deploy: DeployView,
  release: ReleaseView | null,
  jobs: readonly JobView[],
  nowMs: number,
  limits: PlanLimits,
): StopReason | null {
  if (release === null)
    return { code: "superseded", text: `release v${view.target?.version ?? "?"} took its place` };
  if (view.cancelled.has(deploy.id)) return { code: "cancelled", text: "somebody cancelled the deploy" };
  const failed = jobs.find((job) => job.state === "failed" && job.desired === "run");
  if (failed !== undefined) {
    return {
      code: failed.reasonCode ?? "start-failed",
      text: `${slotKey(failed.process, failed.slot)}: ${failed.reason ?? "it failed"}${lastWords(failed)}`,
    };
  }
  const flapping = jobs.find(
    ({ desired, restartsCount }) => desired === "run" && restartsCount >= CRASH_BUDGET,
  );
  if (flapping !== undefined) {
    const how = `crashed ${flapping.restartsCount} times before the deploy was done`;
    const why = flapping.reason === null ? "" : `; the last time ${flapping.reason}`;
    const text = `${slotKey(flapping.process, flapping.slot)} ${how}${why}${lastWords(flapping)}`;
    return { code: "crashed", text };
  }
  for (const job of jobs) {
    const stuck = job.unplaceable;
    if (stuck === null || job.state !== "requested") continue;
    if (stuck.hopeless || nowMs >= stuck.sinceMs + limits.unplaceableAfterMs) {
      return {
        code: "unplaceable",
        text: `no host can take ${slotKey(job.process, job.slot)}: ${stuck.reason}`,
      };
    }
  }
  const phase = releasePhase(view, deploy);
  if (phase?.state === "failed" || phase?.state === "cancelled")
    return { code: "release-failed", text: `${phase.reason ?? "it was stopped"}${lastWords(phase)}` };
  // The release phase has a deadline of its own.
  if (release.processes.has(RELEASE_PROCESS) && phase?.endedAtMs == null) return null;
  const deadlineMs = view.progressDeadlineMs ?? limits.deployDeadlineMs;
  const sinceMs = lastProgressMs(Math.max(deploy.createdAtMs, phase?.endedAtMs ?? 0), jobs, deadlineMs);
  if (nowMs >= sinceMs + deadlineMs + provingMs(release))
    return { code: "deadline-passed", text: describeDeadline(jobs, deadlineMs) };
  return null;
}

/** What the app printed last is mostly why it failed. */
function lastWords(job: Pick<JobView, "lastLines">): string {
  let text = "";
  for (const line of job.lastLines.filter((one) => one.trim() !== "").reverse()) {
    const longer = `\n  ${line.slice(0, LINE_CHARACTERS)}${text}`;
    if (longer.length > LAST_WORDS_CHARACTERS) break;
    text = longer;
  }
  return text === "" ? "" : `. It printed last:${text}`;
}

function describeDeadline(jobs: readonly JobView[], deadlineMs: number): string {
  const waiting = jobs
    .filter((job) => job.rotation === "out" && !isFinal(job.state))
    .map((job) => `${slotKey(job.process, job.slot)} is ${job.state}`);
  return `no progress for ${Math.round(deadlineMs / 1000)} s${waiting.length > 0 ? `: ${waiting.join(", ")}` : ""}`;
}

function abandon(deploy: DeployView, stop: StopReason): Step[] {
  return [
    {
      kind: "step-deploy",
      deployId: deploy.id,
      to: "rolling-back",
      reasonCode: stop.code,
      reason: stop.text,
    },
  ];
}

function isReleased(view: ServiceView, deploy: DeployView, release: ReleaseView): boolean {
  if (deploy.state === "starting" || deploy.state === "routing") return true;
  return !release.processes.has(RELEASE_PROCESS) || releasePhase(view, deploy)?.state === "succeeded";
}

/** Never two release phases of a service at once: a migration must not meet another one. */
function runRelease(view: ServiceView, deploy: DeployView, release: ReleaseView): Step[] {
  if (releasePhase(view, deploy) !== undefined) return [];
  if (view.tasks.some((task) => task.kind === "release" && isOpen(task))) return [];
  const create: Step = { kind: "create-task", release };
  return deploy.state === "planned" ? [create, step(deploy, "releasing")] : [create];
}

function advance(
  view: ServiceView,
  deploy: DeployView,
  release: ReleaseView,
  jobs: readonly JobView[],
  nowMs: number,
): Step[] {
  const wanted = wantedSlots(view.wishes, release);
  const bySlot = new Map<string, JobView>();
  for (const job of jobs) {
    if (!isFinal(job.state) && !isGivenUp(view, job, nowMs) && job.desired === "run")
      bySlot.set(slotKey(job.process, job.slot), job);
  }
  const steps: Step[] = [];
  const open = openSlots(view, release, wanted, bySlot, nowMs);
  for (const [key, slot] of wanted) {
    if (bySlot.has(key) || !open.has(key)) continue;
    const alone = isStopFirst(view, key);
    const holders = alone ? holdersOf(view, key, nowMs) : [];
    if (holders.length === 0) steps.push({ kind: "create-job", release, ...slot, alone });
    else steps.push(...holders.flatMap(stepAside));
  }
  const surplus = [...bySlot].filter(([key]) => !wanted.has(key)).map(([, job]) => job);
  for (const job of surplus)
    steps.push({ kind: "set-rotation", jobId: job.id, rotation: "out" }, { kind: "stop-job", jobId: job.id });
  if (deploy.state === "planned" || deploy.state === "releasing") return [...steps, step(deploy, "starting")];
  const proven = [...bySlot].flatMap(([key, job]) =>
    wanted.has(key) && isProven(job, release, nowMs) ? [job] : [],
  );
  if (proven.length < wanted.size) return [...steps, ...takeOver(view, release, proven)];
  if (deploy.state === "starting") {
    for (const job of proven)
      if (job.rotation === "out") steps.push({ kind: "set-rotation", jobId: job.id, rotation: "in" });
    return [...steps, step(deploy, "routing")];
  }
  return [...steps, ...route(view, deploy, release, proven)];
}

/** Slot by slot, where the owner wants that: the new instance comes into rotation, then the old one leaves. */
function takeOver(view: ServiceView, release: ReleaseView, proven: readonly JobView[]): Step[] {
  const steps: Step[] = [];
  for (const job of proven) {
    if (!isPaced(rolloutOf(release, job.process))) continue;
    if (job.rotation === "out") steps.push({ kind: "set-rotation", jobId: job.id, rotation: "in" });
    if (!isRouted(view, job)) continue;
    for (const old of view.jobs) {
      const sameSlot = old.process === job.process && old.slot === job.slot && old.releaseId !== release.id;
      if (sameSlot && !isFinal(old.state) && old.rotation === "in")
        steps.push({ kind: "set-rotation", jobId: old.id, rotation: "draining" });
    }
  }
  return steps;
}

/** Every edge serves the new jobs: from here the new release is the one in rotation. */
function route(
  view: ServiceView,
  deploy: DeployView,
  release: ReleaseView,
  jobs: readonly JobView[],
): Step[] {
  const steps: Step[] = [];
  for (const job of jobs)
    if (job.rotation === "out") steps.push({ kind: "set-rotation", jobId: job.id, rotation: "in" });
  const web = jobs.filter((job) => job.process === "web");
  const acknowledged = web.length === 0 || web.every((job) => view.routed?.has(job.id) === true);
  if (!acknowledged || steps.length > 0) return steps;
  steps.push({ kind: "set-serving", releaseId: release.id });
  for (const old of view.jobs) {
    if (old.releaseId === release.id || isFinal(old.state) || old.rotation !== "in") continue;
    steps.push({ kind: "set-rotation", jobId: old.id, rotation: "draining" });
  }
  return [...steps, step(deploy, "draining")];
}

/**
 * Done when no edge routes to an earlier release any more. Stopping the old jobs is steady-state work. Jobs of a later
 * deploy may come into rotation before that; they stay, so nobody waits for them to leave.
 */
function finishDrain(view: ServiceView, deploy: DeployView): Step[] {
  const kept = new Set([deploy.releaseId, view.serving?.id, view.target?.id]);
  for (const other of view.openDeploys) if (other.createdAtMs > deploy.createdAtMs) kept.add(other.releaseId);
  const old = view.jobs.filter((job) => !kept.has(job.releaseId) && !isFinal(job.state));
  const routedStill = old.some(
    (job) => job.rotation === "in" || (job.rotation === "draining" && view.routed?.has(job.id) !== false),
  );
  return routedStill ? [] : [step(deploy, "succeeded")];
}

/** Stops what the deploy started; it is over when nothing of it is left on any host. */
function rollBack(
  view: ServiceView,
  deploy: DeployView,
  jobs: readonly JobView[],
  nowMs: number,
  limits: PlanLimits,
): Step[] {
  const steps: Step[] = [];
  for (const job of jobs) {
    if (isFinal(job.state) || job.desired === "stop") continue;
    const serves = job.ready && job.state === "running";
    if (serves && job.rotation === "draining") continue;
    if (serves && job.rotation === "in") {
      const longestMs = deploy.stateSinceMs + limits.deployDeadlineMs;
      if (nowMs >= longestMs || !isMissed(view, job))
        steps.push({ kind: "set-rotation", jobId: job.id, rotation: "draining" });
      continue;
    }
    steps.push({ kind: "set-rotation", jobId: job.id, rotation: "out" }, { kind: "stop-job", jobId: job.id });
  }
  const left = jobs.some((job) => !isFinal(job.state) && job.state !== "lost");
  const phase = releasePhase(view, deploy);
  if (left || (phase !== undefined && isOpen(phase) && phase.job?.state !== "lost")) return steps;
  const to: DeployState =
    deploy.reasonCode === "superseded" || deploy.reasonCode === "cancelled" ? deploy.reasonCode : "failed";
  return [
    ...steps,
    { kind: "step-deploy", deployId: deploy.id, to, reasonCode: deploy.reasonCode, reason: deploy.reason },
  ];
}

/** True while an instance of the release in rotation, whose slot this one took over, is on its way back. */
function isMissed(view: ServiceView, job: JobView): boolean {
  const { serving } = view;
  if (serving === null || !wantedSlots(view.wishes, serving).has(slotKey(job.process, job.slot)))
    return false;
  const old = view.jobs.filter(
    (one) => one.releaseId === serving.id && one.process === job.process && one.slot === job.slot,
  );
  if (old.some((one) => !isFinal(one.state) && one.unplaceable !== null)) return false;
  return !old.some((one) => one.ready && isRouted(view, one));
}

function step(deploy: DeployView, to: DeployState): Step {
  return { kind: "step-deploy", deployId: deploy.id, to, reasonCode: null, reason: null };
}
