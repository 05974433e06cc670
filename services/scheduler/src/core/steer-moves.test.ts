/** A rebalance goes on one job at a time, beside nothing else that moves, and takes back what does not come about. */
import type { HostId, JobId } from "@berth/shared/domain/ids.ts";
import type { Lot } from "@berth/shared/domain/placement.ts";
import { NO_CONSTRAINTS } from "@berth/shared/domain/placement.ts";
import { SINGLE_WRITER_POLICY } from "@berth/shared/domain/service-policy.ts";
import { expect, test } from "vitest";
import { deployed, type Job, type PlannedService } from "../testing/planned-service.ts";
import type { Move } from "./plan-moves.ts";
import { type MovesView, movableJobs, type OpenMove, steerMoves } from "./steer-moves.ts";

const BUDGET = { movesPerHour: 10, moveDeadlineMs: 60_000 };
const FROM = "hst_1" as HostId;
const TO = "hst_2" as HostId;

function started(): { service: PlannedService; job: Job; open: OpenMove } {
  const service = deployed();
  const job = service.live()[0] as Job;
  Object.assign(job, { hostId: FROM, leaving: true });
  const { id: jobId, process, slot } = job;
  const open = {
    jobId,
    serviceId: service.view().serviceId,
    process,
    slot,
    toHostId: TO,
    startedAtMs: service.nowMs,
  };
  return { service, job, open };
}

const view = (service: PlannedService, open: OpenMove | null, startedLastHour = 0): MovesView => ({
  open,
  startedLastHour,
  services: [service.view()],
});
const steer = (given: MovesView, nowMs: number, plan: () => Move[] = () => []) =>
  steerMoves(given, BUDGET, nowMs, plan);
const move = { jobId: "job_9" as JobId } as Move;

test("a move starts only when nothing else moves, nothing is frozen and the budget allows it", () => {
  const service = deployed();
  const plan = () => [move];
  expect(steer(view(service, null), service.nowMs, plan)).toEqual({ kind: "start-move", move });
  expect(steer(view(service, null, 10), service.nowMs, plan).kind).toBe("wait");
  expect(steer(view(service, null), service.nowMs).kind).toBe("finish");
  service.hosts.set(FROM, { state: "suspect", lastHeartbeatAtMs: 0 });
  service.frozen = true;
  expect(steer(view(service, null), service.nowMs, plan).kind).toBe("wait");
  expect(steer(view(started().service, null), service.nowMs, plan).kind).toBe("wait");
});

test("a move is over when the old job is, start-first", () => {
  const { service, job, open } = started();
  expect(steer(view(service, open), service.nowMs).kind).toBe("wait");
  service.settle();
  expect(job.state).toBe("finished");
  expect(service.live().map(({ ready }) => ready)).toEqual([true]);
  expect(steer(view(service, open), service.nowMs).kind).toBe("end-move");
});

test("a move that does not come about is taken back: no room, or a new job that fails", () => {
  const { service, open } = started();
  service.plan();
  const successor = service.live().find(({ id }) => id !== open.jobId) as Job;
  const taken = { kind: "take-back-move", successors: [successor.id] };
  expect(steer(view(service, open), open.startedAtMs + 59_999).kind).toBe("wait");
  expect(steer(view(service, open), open.startedAtMs + 60_000)).toEqual(taken);
  Object.assign(successor, { state: "failed", updatedAtMs: open.startedAtMs + 1 });
  expect(steer(view(service, open), open.startedAtMs + 2)).toEqual({ ...taken, successors: [] });
});

test("what is deployed, drained or a single writer is not moved", () => {
  const service = deployed();
  const job = service.live()[0] as Job;
  job.hostId = FROM;
  const lots = new Map([[job.id, { constraints: NO_CONSTRAINTS } as Lot]]);
  const movable = () => movableJobs([service.view()], lots).map(({ jobId }) => jobId);
  expect(movable()).toEqual([job.id]);
  service.draining.add(FROM);
  expect(movable()).toEqual([]);
  service.draining.clear();
  job.partition = SINGLE_WRITER_POLICY;
  expect(movable()).toEqual([]);
  job.partition = service.policy;
  service.release();
  expect(movable()).toEqual([]);
});
