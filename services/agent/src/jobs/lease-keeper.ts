/** The leases of this host's jobs: renewed by desired sets, read by the workers, woken when one ends. */
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import { type LeaseState, type Leases, leaseState, needsLease, renewLeases } from "../core/decide-leases.ts";
import type { DesiredSet } from "../core/decide-stops.ts";
import type { JobRecord } from "../core/job-record.ts";
import type { LeaseFile } from "../outbound/lease-file.ts";

interface LeaseGiven {
  readonly file: LeaseFile;
  readonly bootId: string;
  readonly monotonicMs: () => number;
  readonly log: Log;
}

export class LeaseKeeper {
  readonly #given: LeaseGiven;
  readonly #startedMs: number;
  #leases: Leases;
  readonly #seen = new Map<string, LeaseState>();

  constructor(given: LeaseGiven) {
    this.#given = given;
    this.#startedMs = given.monotonicMs();
    this.#leases = given.file.read();
  }

  stateOf(record: JobRecord): LeaseState {
    return leaseState(record, this.#leases, this.#startedMs, this.#given.monotonicMs());
  }

  /** An award is the scheduler's word too; a single writer still waits for a set that answers a heartbeat. */
  awarded({ spec }: JobRecord): void {
    if (spec.partition.singleWriter || !needsLease(spec.partition)) return;
    const lease = { epoch: spec.epoch, fromMs: this.#given.monotonicMs() };
    this.#leases = new Map([...this.#leases, [spec.jobId, lease]]);
  }

  /** A set that answers no heartbeat of this boot says nothing of how fresh it is. */
  renew(set: DesiredSet, records: readonly JobRecord[]): void {
    const { answersBeat } = set;
    if (answersBeat === undefined || answersBeat.bootId !== this.#given.bootId) return;
    if (!records.some(({ spec }) => needsLease(spec.partition))) return;
    const fromMs = Math.min(answersBeat.monotonicMs, this.#given.monotonicMs());
    this.#leases = renewLeases(this.#leases, set.jobs, fromMs, records);
    this.#given.file
      .write(this.#leases)
      .catch((error: unknown) => this.#given.log.warn("leases.not-kept", { error: describeError(error) }));
  }

  /** @returns the jobs whose lease began or ended since the last look */
  changed(records: readonly JobRecord[]): string[] {
    const changed: string[] = [];
    const held = new Set<string>();
    for (const record of records) {
      const { jobId, partition } = record.spec;
      if (!needsLease(partition)) continue;
      held.add(jobId);
      const state = this.stateOf(record);
      if (this.#seen.get(jobId) === state) continue;
      this.#seen.set(jobId, state);
      changed.push(jobId);
    }
    for (const jobId of this.#seen.keys()) if (!held.has(jobId)) this.#seen.delete(jobId);
    return changed;
  }
}
