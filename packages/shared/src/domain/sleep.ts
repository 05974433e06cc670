/**
 * Sleep of a service: nothing of it runs while nobody asks for it, and its first request wakes it.
 *
 *   awake ─▶ falling ─(every edge sends its requests to the activators, nothing is open)─▶ asleep ─▶ waking ─▶ awake
 *              └──────────────── a request, an order or a deploy ────────────────────────────────────────▶ awake
 *
 * `epoch` counts the sleeps of a service. What must stay true: a sleep ends once, whoever asks for it how often.
 */
import { z } from "zod";

/** `frozen`: paused, holds its memory. `stopped`: the container stays. `away`: only the image stays. */
export const SleepLevel = z.enum(["frozen", "stopped", "away"]);
export type SleepLevel = z.infer<typeof SleepLevel>;

export const SleepState = z.enum(["awake", "falling", "asleep", "waking"]);
export type SleepState = z.infer<typeof SleepState>;

export const SleepCause = z.enum(["asked", "idle"]);
export type SleepCause = z.infer<typeof SleepCause>;

/** What a host is told of a job that sleeps. */
export const SleepOrder = z.strictObject({ epoch: z.int().min(1), level: SleepLevel });
export type SleepOrder = z.infer<typeof SleepOrder>;

/** Names of a job's stages in its newest wake. */
export const WAKE_START = "wake-start";
export const WAKE_LISTEN = "wake-listen";

/** A part of the time from the wish to wake a service to one instance that answers. */
export const ColdStartStage = z.strictObject({
  /** Until a host knew; until the container ran; until the app answered; until the scheduler knew. */
  name: z.enum(["notice", "start", "listen", "settle"]),
  ms: z.number().min(0),
});
export type ColdStartStage = z.infer<typeof ColdStartStage>;

/** Edges tell every 2 s what they saw, each thing three times: less would be nothing. */
export const LEAST_SLEEP_AFTER_MS = 10_000;
export const MAX_SLEEP_AFTER_MS = 7 * 24 * 3_600_000;
