/**
 * Who holds a slot while hosts are away, and who may take it.
 *
 * What must stay true: a single writer's slot is given to another job only when nobody else can run there: the other
 * ended, by its host's own word, or its host has been silent for so long that it stopped it by its lease.
 */
import { isFinal } from "@berth/shared/domain/job-state.ts";
import type { PartitionPolicy } from "@berth/shared/domain/service-policy.ts";
import { slotKey, wantedSlots } from "./slots.ts";
import type { JobView, ServiceView, Step } from "./views.ts";

/**
 * Silence of a job's host until its slot is given to another job. The service's policy says it; but a single writer's
 * host keeps to what it was told with the job, so an earlier replacement than that never counts; and an instance from
 * before the service became a single writer was told nothing, so it is waited for.
 */
export function replaceAfterMs(service: PartitionPolicy, job: PartitionPolicy): number | null {
  if (!job.singleWriter) return service.singleWriter ? null : service.replaceAfterMs;
  if (service.replaceAfterMs === null || job.replaceAfterMs === null) return null;
  return Math.max(service.replaceAfterMs, job.replaceAfterMs);
}

/** True when the slot of a lost job goes to another one. */
export function isGivenUp(view: ServiceView, job: JobView, nowMs: number): boolean {
  if (job.state !== "lost") return false;
  const host = job.hostId === null ? undefined : view.hosts.get(job.hostId);
  // Removed by an operator, who says by it that the host is dead.
  if (host === undefined) return true;
  const afterMs = replaceAfterMs(view.policy, job.partition);
  if (host.state !== "lost" || host.frozen || afterMs === null) return false;
  return nowMs >= host.lastHeartbeatAtMs + afterMs;
}

/** True when the job, replaced while its host was silent, takes its slot back as the host returns. */
export function mayComeBack(view: ServiceView, job: JobView): boolean {
  if (view.policy.onReturn !== "keep-original" || view.policy.singleWriter || job.partition.singleWriter)
    return false;
  if (job.leaving || job.releaseId !== view.serving?.id || job.hostId === null) return false;
  return view.hosts.has(job.hostId) && !view.drainingHosts.has(job.hostId);
}

/** True when at most one instance may run in the slot: by the service's policy, or that of one that is there still. */
export function isStopFirst(view: ServiceView, key: string): boolean {
  if (view.policy.singleWriter) return true;
  return view.jobs.some(
    (job) => job.partition.singleWriter && !isFinal(job.state) && slotKey(job.process, job.slot) === key,
  );
}

/** Jobs that may still run in the slot, of whatever release. */
export function holdersOf(view: ServiceView, key: string, nowMs: number): JobView[] {
  return view.jobs.filter(
    (job) => slotKey(job.process, job.slot) === key && !isFinal(job.state) && !isGivenUp(view, job, nowMs),
  );
}

/** Slots that an open deploy fills: stop-first ones are not filled by the release before it meanwhile. */
export function claimedSlots(view: ServiceView): ReadonlySet<string> {
  const { target } = view;
  if (target === null || target.id === view.serving?.id) return new Set();
  const open = view.openDeploys.some(
    ({ releaseId, state }) =>
      releaseId === target.id && (state === "planned" || state === "starting" || state === "routing"),
  );
  return new Set(open || !view.targetDeployExists ? wantedSlots(view.wishes, target).keys() : []);
}

/** Lets a job end: out of the routes first, when it is in them. What follows is `retireOthers`' work. */
export function stepAside(job: JobView): Step[] {
  if (isFinal(job.state) || job.desired === "stop") return [];
  const served = job.ready && job.state !== "lost";
  if (served && job.rotation === "in") return [{ kind: "set-rotation", jobId: job.id, rotation: "draining" }];
  if (served && job.rotation === "draining") return [];
  return retire(job);
}

export function retire(job: JobView): Step[] {
  if (isFinal(job.state) || job.desired === "stop") return [];
  return [
    { kind: "set-rotation", jobId: job.id, rotation: "out" },
    { kind: "stop-job", jobId: job.id },
  ];
}
