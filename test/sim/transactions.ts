/**
 * The scheduler's transactions on the model record: the conditions of its SQL, around the rules of its core. Each is
 * atomic; a leader's are fenced.
 */
import { ACCEPTED_SEQUENCE, type ObservedJob } from "@berth/shared/contracts/job.ts";
import { canStepDeploy } from "@berth/shared/domain/deploy-state.ts";
import type { HostId, JobId, ServiceId } from "@berth/shared/domain/ids.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import { DEFAULT_PARTITION_POLICY } from "@berth/shared/domain/service-policy.ts";
import { judgeObservation } from "../../services/scheduler/src/core/apply-observation.ts";
import { givenBack, judgeAbsence } from "../../services/scheduler/src/core/judge-absence.ts";
import type { HostVerdict } from "../../services/scheduler/src/core/judge-hosts.ts";
import { mayCommit } from "../../services/scheduler/src/core/lead.ts";
import type { MoveStep } from "../../services/scheduler/src/core/steer-moves.ts";
import type { Step } from "../../services/scheduler/src/core/views.ts";
import type { Beat } from "./messages.ts";
import { newJob } from "./new-job.ts";
import type { JobRow } from "./store.ts";
import type { World } from "./world.ts";

/** The database does not answer. */
export class RecordDown extends Error {
  override name = "RecordDown";
}

export class StaleLeader extends Error {
  override name = "StaleLeader";
}

interface Leader {
  readonly name: string;
  readonly holder: string;
  readonly epoch: number | null;
}

export function fence(world: World, by: Leader): void {
  const { leader } = world.store.now;
  const row = leader === null ? null : { ...leader, expired: leader.expiresAtMs <= world.timeline.nowMs };
  const may = mayCommit(row, by.holder, by.epoch);
  if (!may && world.on("leader-fence")) throw new StaleLeader(by.name);
  world.invariants.leaderCommits(by, may);
}

function patch(world: World, row: JobRow, change: Partial<JobRow>): void {
  world.store.putJob({ ...row, ...change, updatedAtMs: world.timeline.nowMs });
}

export function applySteps(world: World, by: Leader, serviceId: ServiceId, steps: readonly Step[]): void {
  fence(world, by);
  for (const step of steps) applyStep(world, by, serviceId, step);
}

function applyStep(world: World, by: Leader, serviceId: ServiceId, step: Step) {
  const { store, timeline } = world;
  const { nowMs } = timeline;
  switch (step.kind) {
    case "create-deploy": {
      const { id: releaseId, deployId: id } = step.release;
      if (store.now.deploys.has(id)) return;
      const times = { createdAtMs: nowMs, stateSinceMs: nowMs };
      return store.putDeploy({
        id,
        serviceId,
        releaseId,
        state: "planned",
        ...times,
        reasonCode: null,
        reason: null,
      });
    }
    case "create-job": {
      const release = store.now.releases.get(step.release.id);
      if (release === undefined) return;
      const policy = store.now.policies.get(serviceId) ?? DEFAULT_PARTITION_POLICY;
      const row = newJob(world.ids.nextJob(), release, policy, step, nowMs);
      if (step.alone && store.hasHolder(row)) return;
      if (store.insertJob(row))
        world.trace(row.id, () => `${by.name}: job ${row.id} for ${row.releaseId}.${row.slot}`);
      return;
    }
    case "set-rotation": {
      const row = store.now.jobs.get(step.jobId);
      if (row === undefined || row.rotation === step.rotation) return;
      return patch(world, row, { rotation: step.rotation, rotationSinceMs: nowMs });
    }
    case "leave-host":
    case "take-back":
    case "send-away": {
      const row = store.now.jobs.get(step.jobId);
      if (row === undefined) return;
      world.trace(row.id, () => `${by.name}: ${step.kind}`);
      if (step.kind === "leave-host") return patch(world, row, { leaving: true });
      if (step.kind === "take-back") return patch(world, row, { away: false, leaving: false });
      return row.state === "lost" ? patch(world, row, { away: true }) : undefined;
    }
    case "stop-job": {
      const row = store.now.jobs.get(step.jobId);
      if (row === undefined) return;
      world.trace(row.id, () => `${by.name}: stop wanted`);
      const state = row.state === "requested" ? "finished" : row.state;
      return patch(world, row, { desired: "stop", state, ready: false });
    }
    case "step-sleep":
      throw new Error("the simulator's services never sleep");
    case "set-serving":
      if (step.releaseId === null) store.now.serving.delete(serviceId);
      else store.now.serving.set(serviceId, step.releaseId);
      return;
    case "step-deploy": {
      const row = store.now.deploys.get(step.deployId);
      if (row === undefined || row.state === step.to || !canStepDeploy(row.state, step.to)) return;
      const reason = step.reasonCode === null ? {} : { reasonCode: step.reasonCode, reason: step.reason };
      world.trace(row.id, () => `${by.name}: ${row.id} ${row.state} → ${step.to} ${step.reasonCode ?? ""}`);
      return store.putDeploy({ ...row, ...reason, state: step.to, stateSinceMs: nowMs });
    }
  }
}

/** What `outbound/rebalancer.ts` does in one transaction. */
export function applyMoveStep(world: World, by: Leader, step: MoveStep): void {
  fence(world, by);
  const record = world.store.now;
  const { nowMs } = world.timeline;
  if (step.kind === "finish") record.rebalancing = false;
  if (step.kind === "end-move") record.move = null;
  if (step.kind === "start-move") {
    const { jobId, serviceId, process, slot, toHostId, fromHostId } = step.move;
    const row = record.jobs.get(jobId);
    const may = row?.state === "running" && row.ready && row.desired === "run" && row.hostId === fromHostId;
    if (row === undefined || !may || row.leaving || row.away || record.move !== null) return;
    world.trace(jobId, () => `${by.name}: moves from ${fromHostId} to ${toHostId}, gain ${step.move.gain}`);
    patch(world, row, { leaving: true });
    record.move = { jobId, serviceId, process, slot, toHostId, startedAtMs: nowMs };
  }
  if (step.kind !== "take-back-move") return;
  for (const id of step.successors) {
    const row = record.jobs.get(id);
    if (row === undefined || isFinal(row.state)) continue;
    const state = row.state === "requested" ? "finished" : row.state;
    patch(world, row, { desired: "stop", rotation: "out", ready: false, state });
  }
  const row = record.move === null ? undefined : record.jobs.get(record.move.jobId);
  if (row?.desired === "run") patch(world, row, { leaving: false });
  record.move = null;
  record.rebalancing = false;
}

export function storeVerdicts(world: World, by: Leader, verdicts: readonly HostVerdict[]): void {
  fence(world, by);
  const record = world.store.now;
  for (const { hostId, state } of verdicts) {
    const seen = record.hosts.get(hostId);
    if (seen === undefined || seen.state === state) continue;
    world.trace(hostId, () => `${by.name}: ${hostId} ${seen.state} → ${state}`);
    if (state === "lost") world.invariants.hostDeclaredLost(hostId, by.name);
    record.hosts.set(hostId, { ...seen, state });
  }
  for (const row of record.jobs.values()) {
    const silent = row.hostId !== null && record.hosts.get(row.hostId)?.state === "lost";
    const held = !isFinal(row.state) && row.state !== "requested" && row.state !== "lost";
    if (silent && held) patch(world, row, { state: "lost", ready: false });
  }
}

/** @returns false when the row is not what the auction saw */
export function award(world: World, seen: JobRow, hostId: HostId, leaseExpiresAtMs: number): boolean {
  const row = world.store.now.jobs.get(seen.id);
  if (row === undefined || row.state !== "requested" || row.desired !== "run" || row.epoch !== seen.epoch)
    return false;
  const epoch = row.epoch + 1;
  world.trace(row.id, () => `awarded e${epoch} to ${hostId}`);
  patch(world, row, { state: "awarded", epoch, hostId, observedSequence: -1, leaseExpiresAtMs });
  return true;
}

export function acceptAward(world: World, jobId: JobId, epoch: number): void {
  const row = world.store.now.jobs.get(jobId);
  if (row === undefined || row.epoch !== epoch) return;
  const observedSequence = Math.max(row.observedSequence, ACCEPTED_SEQUENCE);
  patch(world, row, row.state === "awarded" ? { state: "accepted", observedSequence } : { observedSequence });
}

export function declineAward(world: World, jobId: JobId, epoch: number): void {
  const row = world.store.now.jobs.get(jobId);
  if (row === undefined || row.epoch !== epoch || row.state !== "awarded") return;
  patch(world, row, { state: givenBack(row.desired), hostId: null, leaseExpiresAtMs: null });
}

/** @returns whether the row changed */
export function takeObservation(world: World, hostId: HostId, seen: ObservedJob): boolean {
  const row = world.store.now.jobs.get(seen.jobId as JobId);
  return row !== undefined && takeOne(world, row, hostId, seen, false);
}

function takeOne(world: World, row: JobRow, hostId: HostId, seen: ObservedJob, listed: boolean): boolean {
  const stored = world.on("observation-order") ? row : { ...row, epoch: seen.epoch, observedSequence: -1 };
  if (judgeObservation(stored, hostId, seen, listed).kind !== "take") return false;
  world.invariants.observationTaken(row, seen, listed);
  patch(world, row, {
    state: seen.state,
    ready: seen.ready && seen.state === "running",
    observedSequence: seen.sequence,
    address: seen.address,
    restartsCount: seen.restartsCount,
    reasonCode: seen.reasonCode,
    reason: seen.reason,
    leaseExpiresAtMs: null,
  });
  return true;
}

export function storeBeat({ store, timeline }: World, { hostId }: Beat): void {
  store.now.hosts.set(hostId, { hostId, state: "alive", lastHeartbeatAtMs: timeline.nowMs });
}

/** A whole list, made at `atMs`. @returns whether something changed */
export function takeList({ world, beat, atMs }: { world: World; beat: Beat; atMs: number }): boolean {
  const { store } = world;
  const { hostId } = beat;
  let changed = false;
  for (const seen of beat.jobs) {
    const row = store.now.jobs.get(seen.jobId as JobId);
    if (row !== undefined && !isFinal(row.state))
      changed = takeOne(world, row, hostId, seen, true) || changed;
  }
  const held = new Set<string>(beat.jobs.map(({ jobId }) => jobId));
  for (const row of store.now.jobs.values()) {
    if (row.hostId !== hostId || isFinal(row.state) || row.state === "requested" || held.has(row.id))
      continue;
    const unknownHere = beat.unknown.some(({ jobId }) => jobId === row.id);
    changed = takeAbsence(world, row, atMs, unknownHere) || changed;
  }
  return changed;
}

function takeAbsence(world: World, row: JobRow, atMs: number, unknownHere: boolean): boolean {
  const leaseExpiresAtMs = world.on("lease-before-reaward") ? row.leaseExpiresAtMs : null;
  const { singleWriter } = row.spec.partition;
  const held = { ...row, leaseExpiresAtMs, singleWriter };
  const to = judgeAbsence(held, atMs, unknownHere && world.on("single-writer-unknown"));
  if (to === "wait") return false;
  if (to === "stop") {
    world.trace(row.id, () => `${row.hostId} runs ${row.id} without knowing it: stop wanted`);
    patch(world, row, { desired: "stop", ready: false });
    return true;
  }
  world.trace(row.id, () => `${row.hostId} does not hold ${row.id} e${row.epoch} (${row.state}): ${to}`);
  if (to !== "requested") world.invariants.endedByAbsence(row);
  if (to === "requested") patch(world, row, { state: to, hostId: null, leaseExpiresAtMs: null });
  else patch(world, row, { state: to, ready: false });
  return true;
}
