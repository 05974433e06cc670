/** How a task ended: it runs once, so every exit is its end, and only exit code 0 a good one. */
import type { JobSpec } from "@berth/shared/contracts/job.ts";

export interface TaskExit {
  readonly exitCode: number | null;
  readonly outOfMemory: boolean;
  readonly missedDeadline: boolean;
}

export type TaskEnd =
  | { readonly state: "finished"; readonly reasonCode: null; readonly reason: null }
  | { readonly state: "failed"; readonly reasonCode: string; readonly reason: string };

export function taskEnd({ process, resources, task }: JobSpec, exit: TaskExit): TaskEnd {
  const failed = (reasonCode: string, reason: string): TaskEnd => ({ state: "failed", reasonCode, reason });
  if (exit.outOfMemory) {
    const limit = Math.round(resources.memoryBytes / 1024 ** 2);
    return failed("out-of-memory", `${process} used more than its ${limit} MiB of memory and was killed`);
  }
  if (exit.missedDeadline) {
    const seconds = (task?.deadlineMs ?? 0) / 1000;
    return failed("deadline-passed", `${process} was killed: it had not ended after ${seconds} s`);
  }
  if (exit.exitCode === null)
    return failed(
      "task-interrupted",
      `${process} went away without an exit code; it may not have done its work`,
    );
  if (exit.exitCode !== 0) return failed("task-failed", `${process} ended with exit code ${exit.exitCode}`);
  return { state: "finished", reasonCode: null, reason: null };
}
