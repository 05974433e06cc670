/**
 * What to do next for one job: the agent's whole policy about a container, as a pure function.
 *
 * It looks at the ledger's record and at facts that were read just now; whoever carries the step out looks again.
 * What must stay true: a running container of the job's own epoch is never stopped but for `stopWanted`, its sleep, a
 * missed first deadline or the end of its lease; a container of another epoch is gone before a new one starts.
 */
import { isFinal } from "@berth/shared/domain/job-state.ts";
import type { SleepOrder } from "@berth/shared/domain/sleep.ts";
import type { LeaseState } from "./decide-leases.ts";
import type { JobRecord } from "./job-record.ts";

export type ContainerState = "created" | "running" | "paused" | "exited" | "removing";

export interface ContainerFacts {
  readonly id: string;
  readonly epoch: number;
  readonly attempt: number;
  readonly state: ContainerState;
  /** In its environment's network; null where nothing says it. */
  readonly address?: string | null;
}

export interface JobFacts {
  readonly nowMs: number;
  readonly bootId: string;
  /** Every container that carries the job's label. */
  readonly containers: readonly ContainerFacts[];
  readonly imagePresent: boolean;
  readonly secretsWritten: boolean;
  readonly lease: LeaseState;
}

export type Step =
  | { readonly kind: "wait-envelope" }
  | { readonly kind: "pull" }
  | { readonly kind: "write-secrets" }
  | { readonly kind: "create"; readonly attempt: number }
  | { readonly kind: "start"; readonly containerId: string; readonly attempt: number }
  | {
      readonly kind: "watch-ready";
      readonly containerId: string;
      readonly attempt: number;
      readonly deadlineAtMs: number;
    }
  | { readonly kind: "watch"; readonly containerId: string }
  | { readonly kind: "note-exit"; readonly containerId: string; readonly attempt: number }
  | { readonly kind: "note-gone"; readonly attempt: number }
  | { readonly kind: "note-reboot"; readonly attempt: number }
  | { readonly kind: "wait-until"; readonly atMs: number }
  | { readonly kind: "stop"; readonly containerId: string }
  | { readonly kind: "stop-for-lease"; readonly containerId: string; readonly attempt: number }
  | { readonly kind: "wait-lease" }
  | { readonly kind: "put-to-sleep"; readonly containerId: string }
  | { readonly kind: "freeze"; readonly containerId: string }
  | { readonly kind: "note-asleep" }
  | { readonly kind: "wait-asleep" }
  | { readonly kind: "wake" }
  | { readonly kind: "thaw"; readonly containerId: string }
  | { readonly kind: "remove"; readonly containerIds: readonly string[] }
  | { readonly kind: "wipe-secrets" }
  | { readonly kind: "finish" }
  | { readonly kind: "wait-acknowledged" }
  | { readonly kind: "wait-desired" }
  | { readonly kind: "forget" };

export function nextStep(record: JobRecord, facts: JobFacts): Step {
  if (isFinal(record.state)) return afterTheEnd(record, facts);
  if (record.stopWanted) return towardsTheEnd(facts);
  const current = currentContainer(record, facts);
  const others = facts.containers.filter((container) => container !== current);
  const alive = others.find(isAlive);
  if (alive !== undefined) return { kind: "stop", containerId: alive.id };
  if (record.sleep !== null) return towardsSleep(record, facts, current, record.sleep);
  if (record.state === "frozen" && current !== undefined && isAlive(current))
    return { kind: "thaw", containerId: current.id };
  if (record.state === "frozen" || record.state === "asleep") return { kind: "wake" };
  if (current === undefined && record.address !== null) {
    return record.bootId === facts.bootId
      ? { kind: "note-gone", attempt: record.attempt }
      : { kind: "note-reboot", attempt: record.attempt };
  }
  if (current === undefined) return towardsAContainer(record, facts, others);
  if (facts.lease === "ended" && isAlive(current))
    return { kind: "stop-for-lease", containerId: current.id, attempt: current.attempt };
  return withContainer(record, facts, current);
}

function towardsSleep(
  record: JobRecord,
  facts: JobFacts,
  current: ContainerFacts | undefined,
  { level }: SleepOrder,
): Step {
  if (current !== undefined && isAlive(current)) {
    if (level !== "frozen") return { kind: "put-to-sleep", containerId: current.id };
    const isFrozen = record.state === "frozen" && current.state === "paused";
    return isFrozen ? { kind: "wait-asleep" } : { kind: "freeze", containerId: current.id };
  }
  if (record.state !== "asleep" || (level === "away" && current !== undefined))
    return { kind: "note-asleep" };
  return facts.secretsWritten ? { kind: "wipe-secrets" } : { kind: "wait-asleep" };
}

/** The container of the job's own epoch whose end was not noted yet; one that runs comes before one that does not. */
function currentContainer(record: JobRecord, facts: JobFacts): ContainerFacts | undefined {
  const own = facts.containers.filter(
    ({ epoch, attempt, state }) =>
      epoch === record.spec.epoch && attempt > record.endedAttempt && state !== "removing",
  );
  return own.toSorted((a, b) => Number(isAlive(b)) - Number(isAlive(a)) || b.attempt - a.attempt)[0];
}

function isAlive(container: ContainerFacts): boolean {
  return container.state === "running" || container.state === "paused";
}

function towardsAContainer(record: JobRecord, facts: JobFacts, leftovers: readonly ContainerFacts[]): Step {
  if (record.envelope === null) return { kind: "wait-envelope" };
  if (facts.nowMs < record.notBeforeMs) return { kind: "wait-until", atMs: record.notBeforeMs };
  // One that was only created may have been started without our hearing of it: it goes before the next is made.
  const unsure = leftovers.filter(({ state }) => state === "created");
  if (unsure.length > 0) return { kind: "remove", containerIds: unsure.map(({ id }) => id) };
  if (!facts.imagePresent) return { kind: "pull" };
  if (!facts.secretsWritten) return { kind: "write-secrets" };
  if (facts.lease !== "held") return { kind: "wait-lease" };
  const highest = Math.max(record.attempt, ...leftovers.map((container) => container.attempt));
  return { kind: "create", attempt: highest + 1 };
}

function withContainer(record: JobRecord, facts: JobFacts, current: ContainerFacts): Step {
  switch (current.state) {
    case "running":
    case "paused":
      if (record.ready) return { kind: "watch", containerId: current.id };
      return {
        kind: "watch-ready",
        containerId: current.id,
        attempt: current.attempt,
        deadlineAtMs: deadlineAtMs(record, facts.nowMs),
      };
    case "created":
      return towardsAStart(record, facts, current);
    default:
      if (record.resume) return towardsAStart(record, facts, current);
      if (record.bootId !== facts.bootId) return { kind: "note-reboot", attempt: current.attempt };
      return { kind: "note-exit", containerId: current.id, attempt: current.attempt };
  }
}

function towardsAStart(record: JobRecord, facts: JobFacts, current: ContainerFacts): Step {
  if (record.envelope === null) return { kind: "wait-envelope" };
  if (!facts.secretsWritten) return { kind: "write-secrets" };
  if (facts.lease !== "held") return { kind: "wait-lease" };
  return { kind: "start", containerId: current.id, attempt: current.attempt };
}

/** Before the first readiness all attempts share one deadline; after it every attempt has its own. */
function deadlineAtMs(record: JobRecord, nowMs: number): number {
  const { task, readiness } = record.spec;
  const from = record.everReady ? record.startedAtMs : record.firstStartedAtMs;
  return (from ?? nowMs) + (task?.deadlineMs ?? readiness.deadlineMs);
}

function towardsTheEnd(facts: JobFacts): Step {
  const alive = facts.containers.find(isAlive);
  if (alive !== undefined) return { kind: "stop", containerId: alive.id };
  if (facts.containers.length > 0)
    return { kind: "remove", containerIds: facts.containers.map(({ id }) => id) };
  if (facts.secretsWritten) return { kind: "wipe-secrets" };
  return { kind: "finish" };
}

function afterTheEnd(record: JobRecord, facts: JobFacts): Step {
  const alive = facts.containers.find(isAlive);
  if (alive !== undefined) return { kind: "stop", containerId: alive.id };
  if (facts.secretsWritten) return { kind: "wipe-secrets" };
  if (facts.containers.length > 0)
    return { kind: "remove", containerIds: facts.containers.map(({ id }) => id) };
  if (record.acknowledged < record.sequence) return { kind: "wait-acknowledged" };
  return record.stopWanted ? { kind: "forget" } : { kind: "wait-desired" };
}
