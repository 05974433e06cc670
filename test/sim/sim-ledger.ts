/** The ledger on one simulated disk: a write takes a moment, is lost by a crash before its end, and fails on a full disk. */
import type { JobRecord } from "../../services/agent/src/core/job-record.ts";
import type { Routine } from "./process.ts";

const WRITE_MS = 2;

export class SimLedger {
  readonly records = new Map<string, JobRecord>();
  leaderEpoch = 0;
  full = false;

  /** @returns whether it is on disk */
  *save(record: JobRecord): Routine<boolean> {
    yield WRITE_MS;
    if (this.full) return false;
    this.records.set(record.spec.jobId, record);
    return true;
  }

  *saveLeaderEpoch(epoch: number): Routine<boolean> {
    yield WRITE_MS;
    if (!this.full) this.leaderEpoch = epoch;
    return !this.full;
  }

  *forget(jobId: string): Routine {
    yield WRITE_MS;
    this.records.delete(jobId);
  }
}
