/**
 * What an agent's start finds on its host and what it does about it: recovery as a value.
 *
 * What must stay true: nothing that runs is touched here, and nothing that the control plane may still want. What is
 * removed never ran or runs no more: half-removed containers, networks and secrets that nobody uses.
 */
import type { HostRecovery } from "@berth/shared/contracts/host.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import type { JobRecord } from "./job-record.ts";
import type { ContainerFacts } from "./next-step.ts";

export interface RecoveryFacts {
  readonly nowMs: number;
  readonly bootId: string;
  /** Of the agent's last life; null when it left none. */
  readonly lastBootId: string | null;
  readonly records: readonly JobRecord[];
  readonly containers: readonly (ContainerFacts & { readonly jobId: string })[];
  /** Ledger files that could not be read and were moved aside. */
  readonly damagedFiles: readonly string[];
  /** Ledger files that a crash left half written; what they would have replaced is whole. */
  readonly tornFiles: readonly string[];
  /** Jobs whose clear secrets lie in the tmpfs. */
  readonly secretsOf: ReadonlySet<string>;
  /** Networks with the agent's label other than the one it uses, and how many containers, in any state, name them. */
  readonly networks: readonly { readonly name: string; readonly usersCount: number }[];
}

export type RecoveryStep =
  | { readonly kind: "remove-container"; readonly containerId: string; readonly jobId: string }
  | { readonly kind: "remove-network"; readonly name: string }
  | { readonly kind: "wipe-secrets"; readonly jobId: string }
  | { readonly kind: "remove-file"; readonly name: string };

export interface RecoveryPlan {
  readonly report: HostRecovery;
  readonly steps: readonly RecoveryStep[];
  /** The records in the order in which they are started. */
  readonly order: readonly JobRecord[];
  /** Jobs that were ready before and do not sleep; recovery is over when they are again. */
  readonly awaited: readonly string[];
}

export const MOST_PROBLEMS = 20;
const PROBLEM_LENGTH = 300;

export function planRecovery(facts: RecoveryFacts): RecoveryPlan {
  const wanted = facts.records.filter(({ state, stopWanted }) => !isFinal(state) && !stopWanted);
  const adopted = wanted.filter((record) => hasRunning(record, facts));
  const active = wanted.filter(({ sleep }) => sleep === null);
  const restarted = active.filter((record) => record.attempt > 0 && !hasRunning(record, facts));
  const report: HostRecovery = {
    atMs: facts.nowMs,
    cause: causeOf(facts),
    jobs: facts.records.length,
    adopted: adopted.length,
    restarted: restarted.length,
    removed: 0,
    problems: problemsOf(facts, wanted),
    readyAfterMs: null,
  };
  const awaited = active.filter(({ everReady }) => everReady).map(({ spec }) => spec.jobId);
  return { report, steps: stepsOf(facts), order: facts.records.toSorted(byStartOrder), awaited };
}

function hasRunning({ spec }: JobRecord, { containers }: RecoveryFacts): boolean {
  return containers.some(
    ({ jobId, epoch, state }) =>
      jobId === spec.jobId && epoch === spec.epoch && (state === "running" || state === "paused"),
  );
}

function causeOf({ bootId, lastBootId, records }: RecoveryFacts): HostRecovery["cause"] {
  if (lastBootId !== null) return lastBootId === bootId ? "agent-restart" : "reboot";
  if (records.length === 0) return "first-start";
  return records.every((record) => record.bootId === bootId) ? "agent-restart" : "reboot";
}

/**
 * First what others wait for: holders of a volume before what talks to them, what served before what never did.
 * Then the first instance of everything before second ones, web before the rest, larger before smaller, older first.
 */
export function byStartOrder(a: JobRecord, b: JobRecord): number {
  return (
    Number(b.spec.constraints.volumeId !== null) - Number(a.spec.constraints.volumeId !== null) ||
    Number(b.everReady) - Number(a.everReady) ||
    a.spec.slot - b.spec.slot ||
    Number(b.spec.process === "web") - Number(a.spec.process === "web") ||
    b.spec.resources.memoryBytes - a.spec.resources.memoryBytes ||
    a.acceptedAtMs - b.acceptedAtMs ||
    a.spec.jobId.localeCompare(b.spec.jobId)
  );
}

function stepsOf({ records, containers, secretsOf, networks, tornFiles }: RecoveryFacts): RecoveryStep[] {
  const known = new Set<string>(records.map(({ spec }) => spec.jobId));
  const present = new Set(containers.map(({ jobId }) => jobId));
  return [
    ...containers
      .filter(({ jobId, state }) => state === "removing" || (state === "created" && !known.has(jobId)))
      .map(({ id, jobId }) => ({ kind: "remove-container", containerId: id, jobId }) as const),
    ...networks
      .filter(({ usersCount }) => usersCount === 0)
      .map(({ name }) => ({ kind: "remove-network", name }) as const),
    ...[...secretsOf]
      .filter((jobId) => !known.has(jobId) && !present.has(jobId))
      .map((jobId) => ({ kind: "wipe-secrets", jobId }) as const),
    ...tornFiles.map((name) => ({ kind: "remove-file", name }) as const),
  ];
}

function problemsOf(facts: RecoveryFacts, wanted: readonly JobRecord[]): string[] {
  const known = new Set<string>(facts.records.map(({ spec }) => spec.jobId));
  const unknown = facts.containers.filter(
    ({ jobId, state }) => !known.has(jobId) && (state === "running" || state === "paused"),
  );
  const all = [
    ...facts.damagedFiles.map((name) => `the ledger file ${name} cannot be read; kept as ${name}.damaged`),
    ...unknown.map(
      ({ id, jobId }) =>
        `container ${id.slice(0, 12)} of job ${jobId} is in no ledger; it runs until the control plane decides`,
    ),
    ...wanted
      .filter(({ envelope }) => envelope === null)
      .map(({ spec }) => `job ${spec.jobId} has no secrets yet and waits for the control plane`),
  ];
  return boundProblems(all);
}

export function boundProblems(problems: readonly string[]): string[] {
  const kept = problems.length <= MOST_PROBLEMS ? problems : problems.slice(0, MOST_PROBLEMS - 1);
  const rest = problems.length - kept.length;
  const all = rest === 0 ? kept : [...kept, `and ${rest} more: see the agent's log`];
  return all.map((text) => text.slice(0, PROBLEM_LENGTH));
}
