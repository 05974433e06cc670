/**
 * Carries a rebalance on: one job in motion at a time, never beside a deploy of its service, a drain or a freeze, and
 * within a budget of moves per hour.
 *
 * A move only marks the job as leaving: its slot's next job is made and auctioned as for a drained host, and the old one
 * stays in rotation until every edge serves the new one. A move that does not come about is taken back.
 *
 * Pure.
 */
import type { HostId, JobId, ServiceId } from "@berth/shared/domain/ids.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import type { Lot } from "@berth/shared/domain/placement.ts";
import type { MovableJob, Move } from "./plan-moves.ts";
import type { JobView, ServiceView } from "./views.ts";

export interface OpenMove {
  readonly jobId: JobId;
  readonly serviceId: ServiceId;
  readonly process: string;
  readonly slot: number;
  readonly toHostId: HostId;
  readonly startedAtMs: number;
}

export interface MoveBudget {
  readonly movesPerHour: number;
  /** A move that is not over by then is taken back. */
  readonly moveDeadlineMs: number;
}

export interface MovesView {
  readonly open: OpenMove | null;
  readonly startedLastHour: number;
  readonly services: readonly ServiceView[];
}

export type MoveStep =
  | { readonly kind: "wait" }
  | { readonly kind: "end-move" }
  /** The successors stop, and the job keeps its slot. */
  | { readonly kind: "take-back-move"; readonly successors: readonly JobId[] }
  | { readonly kind: "start-move"; readonly move: Move }
  | { readonly kind: "finish"; readonly reason: string };

/** @param plan the best moves now; only asked for when one may start */
export function steerMoves(view: MovesView, budget: MoveBudget, nowMs: number, plan: () => Move[]): MoveStep {
  if (view.open !== null) return followMove(view, view.open, budget, nowMs);
  if (view.startedLastHour >= budget.movesPerHour) return { kind: "wait" };
  const jobs = view.services.flatMap((service) => service.jobs);
  const inMotion = jobs.some((job) => job.leaving && !isFinal(job.state));
  const frozen = view.services.some((service) => [...service.hosts.values()].some((host) => host.frozen));
  if (inMotion || frozen) return { kind: "wait" };
  const [move] = plan();
  return move === undefined
    ? { kind: "finish", reason: "nothing would gain enough by a move" }
    : { kind: "start-move", move };
}

function followMove(view: MovesView, open: OpenMove, budget: MoveBudget, nowMs: number): MoveStep {
  const jobs = view.services.find(({ serviceId }) => serviceId === open.serviceId)?.jobs ?? [];
  const moved = jobs.find((job) => job.id === open.jobId);
  if (moved === undefined || isFinal(moved.state) || moved.desired === "stop" || !moved.leaving)
    return { kind: "end-move" };
  const successors = jobs.filter((job) => job.id !== moved.id && sameSlot(job, moved));
  // Failing once on the new host is enough: it serves well where it is.
  const hopeless = successors.some((job) => job.state === "failed" && job.updatedAtMs > open.startedAtMs);
  if (!hopeless && nowMs < open.startedAtMs + budget.moveDeadlineMs) return { kind: "wait" };
  const live = successors.filter((job) => !isFinal(job.state) && job.desired === "run");
  // The routes are with the new one already: the old one leaves in any case.
  if (moved.rotation !== "in" || live.some((job) => job.ready)) return { kind: "wait" };
  return { kind: "take-back-move", successors: live.map((job) => job.id) };
}

function sameSlot(job: JobView, other: JobView): boolean {
  return job.releaseId === other.releaseId && job.process === other.process && job.slot === other.slot;
}

/** Jobs that run, are served, and may be replaced start-first right now. */
export function movableJobs(services: readonly ServiceView[], lots: ReadonlyMap<JobId, Lot>): MovableJob[] {
  return services.flatMap((service) => {
    const steady =
      !service.deleted && service.openDeploys.length === 0 && service.target?.id === service.serving?.id;
    if (!steady || service.policy.singleWriter) return [];
    return service.jobs.flatMap((job): MovableJob[] => {
      const lot = lots.get(job.id);
      const served = job.state === "running" && job.ready && job.rotation === "in" && job.desired === "run";
      if (lot === undefined || !served || job.leaving || job.away || job.hostId === null) return [];
      if (job.partition.singleWriter || lot.constraints.volumeId !== null) return [];
      if (job.releaseId !== service.serving?.id || service.drainingHosts.has(job.hostId)) return [];
      const { id: jobId, process, slot, hostId } = job;
      return [{ jobId, serviceId: service.serviceId, process, slot, hostId, lot }];
    });
  });
}
