/**
 * Sleep in a job's record: what a host is told, and what it did.
 *
 * What must stay true: a sleep that ended here never begins again, however late or often its order comes; only a
 * job in the state `asleep` gives its memory back, and it has it again before anything of it runs.
 */
import { isFinal } from "@berth/shared/domain/job-state.ts";
import type { SleepOrder } from "@berth/shared/domain/sleep.ts";
import type { DesiredSet } from "./decide-stops.ts";
import { change, finished, type JobRecord } from "./job-record.ts";
import { wakeBegins } from "./wake-stages.ts";

/** @returns the record as the order of a whole desired set makes it; the same one when nothing changes */
export function ordered(record: JobRecord, order: SleepOrder | null): JobRecord {
  if (record.stopWanted || isFinal(record.state)) return record;
  if (order === null) return record.sleep === null ? record : wakened(record, record.sleep.epoch);
  if (order.epoch <= record.wokenEpoch || order.epoch < (record.sleep?.epoch ?? 0)) return record;
  if (record.sleep?.epoch === order.epoch && record.sleep.level === order.level) return record;
  return { ...record, sleep: order };
}

/** The sleep of `epoch`, and every earlier one, is over here: also one that nobody ordered yet. */
export function wakened(record: JobRecord, epoch: number): JobRecord {
  const isOver = record.sleep !== null && record.sleep.epoch <= epoch;
  if (!isOver && record.wokenEpoch >= epoch) return record;
  // A change: the record took it for not ready when it was laid down, and is told how it is.
  return change(record, {
    sleep: isOver ? null : record.sleep,
    wokenEpoch: Math.max(record.wokenEpoch, epoch),
  });
}

export interface SleepWord {
  readonly jobId: string;
  readonly order: SleepOrder | null;
  /** Newest sleep that is over; 0 for none. */
  readonly wokenEpoch: number;
}

/** Orders of a desired set by job, for the jobs that it names at the epoch which the host holds. */
export function ordersOf(set: DesiredSet, records: readonly JobRecord[]): SleepWord[] {
  const named = new Map(set.jobs.map((job) => [job.jobId, job]));
  return records.flatMap(({ spec }) => {
    const job = named.get(spec.jobId);
    if (job === undefined || job.action !== "run" || job.epoch !== spec.epoch) return [];
    return [{ jobId: spec.jobId, order: job.sleep ?? null, wokenEpoch: job.wokenEpoch ?? 0 }];
  });
}

/** Before anything is stopped or paused: from here on nobody is sent to it, also when it is woken in the middle. */
export function lyingDown(record: JobRecord): JobRecord {
  return record.ready ? change(record, { ready: false }) : record;
}

/** @param gone its container is to be removed: the next one is a new attempt */
export function fellAsleep(record: JobRecord, gone: boolean): JobRecord {
  return change(record, {
    state: "asleep",
    ready: false,
    address: null,
    startedAtMs: null,
    ...(gone ? { endedAttempt: record.attempt } : {}),
  });
}

export function froze(record: JobRecord): JobRecord {
  return change(record, { state: "frozen", ready: false });
}

/** From here the job's memory counts again; its container is started, or thawed, next. */
export function awoke(record: JobRecord, bootId: string, nowMs: number): JobRecord {
  const thawed = record.state === "frozen";
  return change(record, {
    state: "starting",
    bootId,
    resume: !thawed,
    crashesInRow: 0,
    notBeforeMs: 0,
    startedAtMs: thawed ? nowMs : null,
    firstStartedAtMs: null,
    stages: wakeBegins(record.stages, nowMs),
  });
}

/** The host has no room for it any more: the job ends here, and the auction finds it another place. */
export function displaced(record: JobRecord, reason: string): JobRecord {
  return {
    ...finished(record, null),
    stopWanted: true,
    reasonCode: "host-full",
    reason: reason.slice(0, 1000),
  };
}
