/**
 * A job as its host knows it: one entry of the ledger, and every change that may happen to it.
 *
 * All functions are pure: a change makes a new record with a higher `sequence`, so that a late observation is
 * told from a new one. The record holds no clear secret; `envelope` stays sealed.
 */
import { ACCEPTED_SEQUENCE, type JobSpec, type ObservedJob } from "@berth/shared/contracts/job.ts";
import type { Stage } from "@berth/shared/domain/deploy-state.ts";
import { isFinal, type JobState } from "@berth/shared/domain/job-state.ts";
import type { SleepOrder } from "@berth/shared/domain/sleep.ts";
import { backOffMs, RESET_AFTER_MS } from "./back-off.ts";
import { taskEnd } from "./task-end.ts";
import { wakeEnds, wakeStarted } from "./wake-stages.ts";

export interface SealedEnvelope {
  readonly senderKey: string;
  readonly sealed: string;
}

export interface JobRecord {
  readonly format: 1;
  readonly spec: JobSpec;
  readonly acceptedAtMs: number;
  /** Kernel boot in which the newest attempt was made: an exit seen in a later boot is not a crash. */
  readonly bootId: string;
  readonly sequence: number;
  /** Highest sequence that the bus took. */
  readonly acknowledged: number;
  readonly state: JobState;
  readonly ready: boolean;
  readonly everReady: boolean;
  /** Number of the newest container, 0 before the first. It never falls, so names are never used twice. */
  readonly attempt: number;
  /** Attempts up to this one are over; what is left of their containers is only to be removed. */
  readonly endedAttempt: number;
  readonly firstStartedAtMs: number | null;
  readonly startedAtMs: number | null;
  readonly address: string | null;
  /** Of its last start: the next attempt has it again, so that edges reach it before anybody could tell them. */
  readonly lastAddress: string | null;
  readonly restartsCount: number;
  readonly crashesInRow: number;
  /** The next attempt must not be made before this. */
  readonly notBeforeMs: number;
  readonly exitCode: number | null;
  readonly reasonCode: string | null;
  readonly reason: string | null;
  readonly lastLines: readonly string[];
  readonly stages: readonly Stage[];
  readonly envelope: SealedEnvelope | null;
  /** True once a fresh whole desired set, or a newer award, ended this job. It never becomes false again. */
  readonly stopWanted: boolean;
  /** Set while the job is to sleep. */
  readonly sleep: SleepOrder | null;
  /** Newest sleep that was ended here: a late order of it, or of an earlier one, counts no more. */
  readonly wokenEpoch: number;
  /** Its stopped container is to be started again: that it does not run is no exit. */
  readonly resume: boolean;
}

/** Crashes before the first readiness after which a job has failed. */
export const MAX_CRASHES_BEFORE_READY = 3;

export function newRecord(spec: JobSpec, nowMs: number, bootId: string, attempt = 0): JobRecord {
  return {
    format: 1,
    spec,
    acceptedAtMs: nowMs,
    bootId,
    sequence: ACCEPTED_SEQUENCE,
    acknowledged: 0,
    state: "accepted",
    ready: false,
    everReady: false,
    attempt,
    endedAttempt: attempt,
    firstStartedAtMs: null,
    startedAtMs: null,
    address: null,
    lastAddress: null,
    restartsCount: 0,
    crashesInRow: 0,
    notBeforeMs: 0,
    exitCode: null,
    reasonCode: null,
    reason: null,
    lastLines: [],
    stages: [],
    envelope: null,
    stopWanted: false,
    sleep: null,
    wokenEpoch: 0,
    resume: false,
  };
}

/** More than a job changes while its host's disk is full. */
const UNSTORED_CHANGES = 1000;

export function change(record: JobRecord, patch: Partial<JobRecord>): JobRecord {
  return { ...record, ...patch, sequence: record.sequence + 1 };
}

/** Nothing changed, but who was told of it may have forgotten. */
export function retold(record: JobRecord): JobRecord {
  return change(record, {});
}

/** Stages tell the road to the first readiness; a restart does not rewrite them. */
function withStage(
  record: JobRecord,
  name: string,
  startedAtMs: number,
  endedAtMs: number,
): readonly Stage[] {
  if (record.everReady) return record.stages;
  return [...record.stages.filter((stage) => stage.name !== name), { name, startedAtMs, endedAtMs }];
}

export function envelopeTaken(record: JobRecord, envelope: SealedEnvelope, nowMs: number): JobRecord {
  const stages = withStage(record, "secrets", record.acceptedAtMs, nowMs);
  const state = record.state === "accepted" ? "preparing" : record.state;
  return change(record, { envelope, stages, state });
}

export function stageDone(
  record: JobRecord,
  name: string,
  startedAtMs: number,
  endedAtMs: number,
): JobRecord {
  return { ...record, stages: withStage(record, name, startedAtMs, endedAtMs) };
}

/** A container of this attempt is about to be made. */
export function attemptMade(record: JobRecord, attempt: number, bootId: string): JobRecord {
  const again = record.bootId === bootId ? {} : { firstStartedAtMs: null };
  return change(record, {
    attempt,
    bootId,
    state: "starting",
    ready: false,
    address: null,
    startedAtMs: null,
    ...again,
  });
}

/** The container of this attempt runs: started by us just now, or found running after the agent came back. */
export function started(record: JobRecord, attempt: number, address: string, startedAtMs: number): JobRecord {
  const firstStartedAtMs = record.firstStartedAtMs ?? startedAtMs;
  // A task is never ready: it works from its start on.
  const state = record.spec.task === null ? "starting" : "running";
  const now = { address, lastAddress: address, startedAtMs, firstStartedAtMs, resume: false };
  const stages = wakeStarted(record.stages, startedAtMs);
  return change(record, { attempt, state, stages, ready: false, ...now });
}

export function becameReady(record: JobRecord, nowMs: number): JobRecord {
  const stages = wakeEnds(withStage(record, "ready", record.startedAtMs ?? nowMs, nowMs), nowMs);
  return change(record, {
    state: "running",
    ready: true,
    everReady: true,
    stages,
    reasonCode: null,
    reason: null,
    lastLines: [],
  });
}

export interface Exit {
  readonly exitCode: number | null;
  readonly outOfMemory: boolean;
  /** Processes of it that the kernel killed for memory while the container lived on. */
  readonly earlierKillsCount?: number;
  /** True when the agent killed it because it did not listen in time. */
  readonly missedDeadline: boolean;
  readonly lastLines: readonly string[];
}

/** The container ended by itself, or was killed for not listening: back off, or fail for good. */
export function exited(record: JobRecord, attempt: number, exit: Exit, nowMs: number): JobRecord {
  const upMs = record.startedAtMs === null ? 0 : nowMs - record.startedAtMs;
  const crashesInRow = upMs >= RESET_AFTER_MS ? 1 : record.crashesInRow + 1;
  const patch: Partial<JobRecord> = {
    ready: false,
    address: null,
    attempt,
    endedAttempt: attempt,
    crashesInRow,
    exitCode: exit.exitCode,
    ...explainExit(record, exit),
    lastLines: exit.lastLines,
  };
  if (record.spec.task !== null) return change(record, { ...patch, ...taskEnd(record.spec, exit) });
  const hopeless = exit.missedDeadline || crashesInRow >= MAX_CRASHES_BEFORE_READY;
  if (!record.everReady && hopeless) return change(record, { ...patch, state: "failed" });
  const restartsCount = record.restartsCount + 1;
  return change(record, {
    ...patch,
    state: "starting",
    restartsCount,
    notBeforeMs: nowMs + backOffMs(crashesInRow),
  });
}

function explainExit(record: JobRecord, exit: Exit): { reasonCode: string; reason: string } {
  const { spec } = record;
  const limit = `${Math.round(spec.resources.memoryBytes / 1024 ** 2)} MiB`;
  if (exit.outOfMemory) {
    return {
      reasonCode: "out-of-memory",
      reason: `${spec.process} used more than its ${limit} of memory and was killed`,
    };
  }
  if (exit.missedDeadline) {
    const { httpPath, deadlineMs } = spec.readiness;
    const what =
      httpPath === null
        ? `nothing listened on port ${spec.profile.port}`
        : `GET ${httpPath} on port ${spec.profile.port} did not answer 2xx or 3xx`;
    return { reasonCode: "never-listened", reason: `${what} within ${deadlineMs / 1000} s` };
  }
  const code = exit.exitCode === null ? "an unknown exit code" : `exit code ${exit.exitCode}`;
  return {
    reasonCode: "crashed",
    reason: `${spec.process} ended by itself with ${code}${killsBefore(exit, limit)}`,
  };
}

function killsBefore({ earlierKillsCount = 0 }: Exit, limit: string): string {
  if (earlierKillsCount === 0) return "";
  const what = earlierKillsCount === 1 ? "one of its processes" : `${earlierKillsCount} of its processes`;
  return `; earlier the kernel killed ${what} for more than ${limit} of memory`;
}

/** The machine was down: what ran in an earlier boot did not crash and starts again at once; a task does not. */
export function rebooted(record: JobRecord, attempt: number, bootId: string): JobRecord {
  if (record.spec.task !== null && record.attempt > 0) {
    const reason = `${record.spec.process} was interrupted: its host went down`;
    return { ...failedForGood(record, "task-interrupted", reason), endedAttempt: attempt };
  }
  return change(record, {
    bootId,
    attempt,
    state: record.envelope === null ? "accepted" : "starting",
    ready: false,
    address: null,
    endedAttempt: attempt,
    crashesInRow: 0,
    notBeforeMs: 0,
    firstStartedAtMs: null,
    startedAtMs: null,
  });
}

/** Stopped by this host because the scheduler's word did not come: it starts again when it does. */
export function leaseEnded(record: JobRecord, attempt: number): JobRecord {
  const afterMs = record.spec.partition.stopAfterMs;
  return change(record, {
    state: "starting",
    ready: false,
    address: null,
    attempt,
    endedAttempt: attempt,
    firstStartedAtMs: null,
    startedAtMs: null,
    reasonCode: "lease-ended",
    reason:
      afterMs === null
        ? "stopped: it runs only on the scheduler's word"
        : `stopped: no word from the scheduler for ${afterMs / 1000} s`,
  });
}

/** The engine or registry refused a step. Before the first readiness a third refusal in a row ends the job. */
export function stepFailed(record: JobRecord, reasonCode: string, reason: string, nowMs: number): JobRecord {
  const crashesInRow = record.crashesInRow + 1;
  const patch = { reasonCode, reason: reason.slice(0, 1000), crashesInRow, endedAttempt: record.attempt };
  // An image that is gone needs a new pull token, which only a new award brings.
  const mayFail = !record.everReady || reasonCode === "image-unavailable";
  if (mayFail && crashesInRow >= MAX_CRASHES_BEFORE_READY)
    return change(record, { ...patch, state: "failed" });
  return change(record, { ...patch, notBeforeMs: nowMs + Math.max(500, backOffMs(crashesInRow)) });
}

export function failedForGood(record: JobRecord, reasonCode: string, reason: string): JobRecord {
  return change(record, { state: "failed", ready: false, reasonCode, reason: reason.slice(0, 1000) });
}

export function stopAsked(record: JobRecord): JobRecord {
  return record.stopWanted ? record : { ...record, stopWanted: true };
}

export function stopping(record: JobRecord): JobRecord {
  return record.state === "stopping" ? record : change(record, { state: "stopping", ready: false });
}

export function finished(record: JobRecord, exitCode: number | null): JobRecord {
  return change(record, {
    state: "finished",
    ready: false,
    address: null,
    exitCode: exitCode ?? record.exitCode,
  });
}

/**
 * As read from the ledger at the agent's start. Changes that a full disk did not take may have been told: what follows
 * must be newer than they were.
 */
export function recovered(record: JobRecord): JobRecord {
  return { ...record, sequence: record.sequence + UNSTORED_CHANGES };
}

export function acknowledged(record: JobRecord, sequence: number): JobRecord {
  return sequence <= record.acknowledged ? record : { ...record, acknowledged: sequence };
}

/** True while the job's memory and disk count against the host. What sleeps gives them back, what is frozen does not. */
export function holdsResources(record: JobRecord): boolean {
  return !isFinal(record.state) && record.state !== "asleep";
}

export function toObserved(record: JobRecord): ObservedJob {
  const { spec } = record;
  return {
    jobId: spec.jobId,
    epoch: spec.epoch,
    sequence: record.sequence,
    state: record.state,
    ready: record.ready,
    address: record.address,
    port: record.address === null ? null : spec.profile.port,
    restartsCount: record.restartsCount,
    exitCode: record.exitCode,
    reasonCode: record.reasonCode,
    reason: record.reason,
    lastLines: record.lastLines.slice(-20).map((line) => line.slice(0, 2000)),
    stages: [...record.stages],
  };
}
