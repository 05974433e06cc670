/**
 * The agent's answer to awards: who commits a decision checks it again on fresh state.
 *
 * An award that the host holds already is accepted again: the first answer may have been lost.
 */
import type { JobSpec } from "@berth/shared/contracts/job.ts";
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
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
  /** After this the award is void: the scheduler may have given the job to another host. */
  readonly leaseExpiresAtMs: number;
  readonly jobs: readonly JobSpec[];
}

/** What this agent remembers of earlier awards. */
export interface AwardMemory {
  readonly leaderEpoch: number;
  /** Awards that were answered, by `awardKey`, until their leases end: an answer is final. */
  readonly answered: ReadonlyMap<string, number>;
}

export function awardKey(spec: { readonly jobId: string; readonly epoch: number }): string {
  return `${spec.jobId}.${spec.epoch}`;
}

export interface AwardDecision {
  readonly answers: readonly AwardAnswer[];
  readonly state: HostState;
}

/** How many containers of an environment may have an address here; null while the host is not in its network. */
export type AddressesCount = (environmentId: EnvironmentId) => number | null;

export function decideAward(
  award: Award,
  memory: AwardMemory,
  held: ReadonlyMap<string, JobRecord>,
  fresh: HostState,
  nowMs: number,
  addressesCount: AddressesCount = () => null,
): AwardDecision {
  let state = fresh;
  const alive = [...held.values()].filter((record) => !isFinal(record.state));
  const used = Map.groupBy(alive, ({ spec }) => spec.environmentId);
  const counts = new Map([...used].map(([environmentId, records]) => [environmentId, records.length]));
  const answers = award.jobs.map((spec): AwardAnswer => {
    const known = held.get(spec.jobId);
    if (known !== undefined && known.spec.epoch === spec.epoch) return { spec, refusal: null, isNew: false };
    const count =
      (counts.get(spec.environmentId) ?? 0) + (known === undefined || isFinal(known.state) ? 1 : 0);
    const refusal =
      refuseLate(award, memory, spec, nowMs) ??
      refuseAddress(count, addressesCount(spec.environmentId)) ??
      refuseJob(known, spec, state);
    if (refusal === null) {
      state = reserve(state, lotOf(spec));
      counts.set(spec.environmentId, count);
    }
    return { spec, refusal, isNew: refusal === null };
  });
  return { answers, state };
}

/** @returns the memory after `award` was answered; what is past its lease is forgotten */
export function rememberAnswers(memory: AwardMemory, award: Award, nowMs: number): AwardMemory {
  const answered = new Map([...memory.answered].filter(([, untilMs]) => untilMs > nowMs));
  for (const spec of award.jobs) answered.set(awardKey(spec), award.leaseExpiresAtMs);
  return { leaderEpoch: Math.max(memory.leaderEpoch, award.leaderEpoch), answered };
}

/** An award may come late or twice. What the scheduler was told, or may take back by now, is not taken up again. */
function refuseLate(award: Award, memory: AwardMemory, spec: JobSpec, nowMs: number): Refusal | null {
  if (award.leaderEpoch < memory.leaderEpoch) {
    return { code: "declined", detail: `leader epoch ${award.leaderEpoch} is behind ${memory.leaderEpoch}` };
  }
  if (nowMs >= award.leaseExpiresAtMs) {
    const lateMs = Math.round(nowMs - award.leaseExpiresAtMs);
    return { code: "declined", detail: `the award's lease ended ${lateMs} ms ago by this host's clock` };
  }
  if (memory.answered.has(awardKey(spec)))
    return { code: "declined", detail: `epoch ${spec.epoch} was answered before and is not held any more` };
  return null;
}

/** One that sleeps keeps its own. */
function refuseAddress(count: number, total: number | null): Refusal | null {
  if (total === null || count <= total) return null;
  const detail = `addresses: 0 of ${total} left in this environment's network on this host, a job takes 1`;
  return { code: "ceiling-addresses", detail };
}

function refuseJob(known: JobRecord | undefined, spec: JobSpec, state: HostState): Refusal | null {
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
    cpuFreeMillis: state.cpuFreeMillis + resources.cpuMillis,
    ceilings: state.ceilings.map((one) => ({ ...one, free: Math.min(one.total, one.free + one.perJob) })),
    jobSlotsFree: state.jobSlotsFree + 1,
  };
}
