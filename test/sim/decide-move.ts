/** The rebalancer's decision on what a simulated scheduler read: the cores that `outbound/rebalancer.ts` calls. */
import type { HostState } from "@berth/shared/domain/placement.ts";
import { DEFAULT_WEIGHTS } from "@berth/shared/domain/placement.ts";
import { lotOf } from "../../services/agent/src/core/capacity.ts";
import { planMoves } from "../../services/scheduler/src/core/plan-moves.ts";
import {
  type MoveStep,
  movableJobs,
  type OpenMove,
  steerMoves,
} from "../../services/scheduler/src/core/steer-moves.ts";
import type { Snapshot } from "./snapshot.ts";

const BUDGET = { movesPerHour: 1000, moveDeadlineMs: 20_000 };
const LIMITS = { leastGain: 0.1, mostMoves: 1 };

export function decideMove(
  { services, jobs }: Snapshot,
  hosts: readonly HostState[],
  open: OpenMove | null,
  nowMs: number,
): MoveStep {
  const lots = new Map(jobs.map(({ view, row }) => [view.id, lotOf(row.spec)]));
  const movable = movableJobs(services, lots);
  const given = { jobs: movable, hosts, policies: new Map(), weights: DEFAULT_WEIGHTS };
  const plan = () => planMoves(given, LIMITS);
  return steerMoves({ open, startedLastHour: 0, services }, BUDGET, nowMs, plan);
}
