/**
 * The agent's answer to awards: who commits a decision checks it again on fresh state.
 *
 * An award that the host holds already is accepted again: the first answer may have been lost.
 */
import type { JobSpec } from "@berth/shared/contracts/job.ts";
import type { HostState, Refusal } from "@berth/shared/domain/placement.ts";
import { refuse, reserve } from "@berth/shared/domain/placement.ts";
import { lotOf } from "./capacity.ts";
import { holdsResources, type JobRecord } from "./job-record.ts";

export interface AwardAnswer {
  readonly spec: JobSpec;
  readonly refusal: Refusal | null;
  /** True when the ledger gets a new entry for it. */
  readonly isNew: boolean;
}

export interface Award {
  readonly leaderEpoch: number;
  readonly jobs: readonly JobSpec[];
}

export interface AwardDecision {
  readonly answers: readonly AwardAnswer[];
  readonly state: HostState;
}

export function decideAward(
  award: Award,
  highestLeaderEpoch: number,
  held: ReadonlyMap<string, JobRecord>,
  fresh: HostState,
): AwardDecision {
  let state = fresh;
  const answers = award.jobs.map((spec): AwardAnswer => {
    const known = held.get(spec.jobId);
    if (known !== undefined && known.spec.epoch === spec.epoch) return { spec, refusal: null, isNew: false };
    const refusal = refuseJob(award, highestLeaderEpoch, known, spec, state);
    if (refusal === null) state = reserve(state, lotOf(spec));
    return { spec, refusal, isNew: refusal === null };
  });
  return { answers, state };
}

function refuseJob(
  award: Award,
  highestLeaderEpoch: number,
  known: JobRecord | undefined,
  spec: JobSpec,
  state: HostState,
): Refusal | null {
  if (award.leaderEpoch < highestLeaderEpoch) {
    return { code: "declined", detail: `leader epoch ${award.leaderEpoch} is behind ${highestLeaderEpoch}` };
  }
  if (known !== undefined && known.spec.epoch > spec.epoch) {
    return {
      code: "declined",
      detail: `epoch ${spec.epoch} is behind ${known.spec.epoch}, which this host holds`,
    };
  }
  // The older epoch of the same job gives its resources to the newer one.
  const freed = known !== undefined && holdsResources(known) ? release(state, known) : state;
  return refuse(freed, lotOf(spec));
}

function release(state: HostState, record: JobRecord): HostState {
  const { resources } = record.spec;
  return {
    ...state,
    memoryFreeBytes: state.memoryFreeBytes + resources.memoryBytes,
    diskFreeBytes: state.diskFreeBytes + resources.diskBytes,
    jobSlotsFree: state.jobSlotsFree + 1,
  };
}
