/**
 * Decides the next steps of a service's open tasks. A task has one job and one try: what became of the job is its end.
 *
 * Its host enforces the deadline, also without the control plane; a task whose host is silent is given up only when even
 * a host that prepared it slowly must have killed it, so that nothing runs twice at once.
 */
import type { DeployView, PlanLimits, ServiceView, Step, TaskView } from "./views.ts";

/** Beyond its deadline: waiting for a host, fetching the image, being told of. */
const SILENCE_MS = 15 * 60_000;

export function planTasks(view: ServiceView, nowMs: number, limits: PlanLimits): Step[] {
  return view.tasks.filter(isOpen).flatMap((task) => planTask(view, task, nowMs, limits));
}

export function isOpen(task: TaskView): boolean {
  return task.state === "running";
}

/** The deploy's own release phase, whatever became of it. */
export function releasePhase(view: ServiceView, deploy: DeployView): TaskView | undefined {
  return view.tasks.find(({ kind, deployId }) => kind === "release" && deployId === deploy.id);
}

function planTask(view: ServiceView, task: TaskView, nowMs: number, limits: PlanLimits): Step[] {
  const { job } = task;
  if (job === null) return [end(task, "failed", "task-interrupted", "nothing is known of its job")];
  if (job.state === "finished")
    return job.desired === "stop"
      ? [end(task, "cancelled", "cancelled", "it was stopped")]
      : [end(task, "succeeded", null, null)];
  if (job.state === "failed") return [end(task, "failed", job.reasonCode, job.reason)];
  const { unplaceable } = job;
  const waited = unplaceable !== null && nowMs >= unplaceable.sinceMs + limits.unplaceableAfterMs;
  if (job.state === "requested" && unplaceable !== null && (unplaceable.hopeless || waited)) {
    const reason = `no host can take it: ${unplaceable.reason}`;
    return [stop(job.id), end(task, "failed", "unplaceable", reason)];
  }
  if (nowMs >= task.createdAtMs + task.deadlineMs + SILENCE_MS)
    return [
      stop(job.id),
      end(task, "failed", "task-interrupted", "its host is silent; what it did is not known"),
    ];
  return job.desired === "run" && !isWanted(view, task) ? [stop(job.id)] : [];
}

function isWanted(view: ServiceView, task: TaskView): boolean {
  if (view.deleted || task.cancelled) return false;
  if (task.kind !== "release") return true;
  return view.openDeploys.some(({ id, state }) => id === task.deployId && state === "releasing");
}

function stop(jobId: NonNullable<TaskView["job"]>["id"]): Step {
  return { kind: "stop-job", jobId };
}

function end(
  task: TaskView,
  to: "succeeded" | "failed" | "cancelled",
  reasonCode: string | null,
  reason: string | null,
): Step {
  return { kind: "end-task", taskId: task.id, to, reasonCode, reason };
}
