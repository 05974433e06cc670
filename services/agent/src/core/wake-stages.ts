/**
 * Where a wake's time went, as stages of the job: `wake-start` from the word that it is to wake to its running container,
 * `wake-listen` from there to the answering app. Of the newest wake only. Pure.
 */
import type { Stage } from "@berth/shared/domain/deploy-state.ts";
import { WAKE_LISTEN, WAKE_START } from "@berth/shared/domain/sleep.ts";

export function wakeBegins(stages: readonly Stage[], nowMs: number): Stage[] {
  return [...others(stages), { name: WAKE_START, startedAtMs: nowMs, endedAtMs: nowMs }];
}

/** A later start of the same wake (the app crashed) counts too: it is what the first answer waited for. */
export function wakeStarted(stages: readonly Stage[], startedAtMs: number): readonly Stage[] {
  const begun = openWake(stages);
  if (begun === undefined) return stages;
  return [...others(stages), { ...begun, endedAtMs: Math.max(begun.startedAtMs, startedAtMs) }];
}

export function wakeEnds(stages: readonly Stage[], nowMs: number): readonly Stage[] {
  const begun = openWake(stages);
  if (begun === undefined) return stages;
  const startedAtMs = begun.endedAtMs;
  return [...stages, { name: WAKE_LISTEN, startedAtMs, endedAtMs: Math.max(startedAtMs, nowMs) }];
}

function openWake(stages: readonly Stage[]): Stage | undefined {
  return stages.some(({ name }) => name === WAKE_LISTEN)
    ? undefined
    : stages.find(({ name }) => name === WAKE_START);
}

function others(stages: readonly Stage[]): Stage[] {
  return stages.filter(({ name }) => name !== WAKE_START && name !== WAKE_LISTEN);
}
