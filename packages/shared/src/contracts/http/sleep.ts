/** Sleep of a service: order it, end it. `status` tells of it. */
import { z } from "zod";
import { ColdStartStage, SleepCause, SleepLevel, SleepState } from "../../domain/sleep.ts";
import { SERVICE, ServicePath } from "./paths.ts";
import { route } from "./route.ts";

export const ServiceSleep = z.strictObject({
  state: SleepState,
  /** Counts the sleeps of the service. */
  epoch: z.int(),
  level: SleepLevel,
  cause: SleepCause,
  sinceMs: z.number(),
  /** From the request that ended the last sleep to an instance that answers; null before the first. */
  lastColdStartMs: z.number().nullable(),
  /** Where that time went; empty where no host told. */
  lastColdStart: z.array(ColdStartStage).default([]),
});

/** An order is kept and carried out when it can be: after a deploy under way, for example. */
const Ordered = z.strictObject({ sleep: ServiceSleep });

export const sleepService = route({
  method: "POST",
  path: `${SERVICE}/sleep`,
  role: "member",
  summary: "Let a service sleep until its next request",
  params: ServicePath,
  body: z.strictObject({ level: SleepLevel.default("stopped") }),
  reply: Ordered,
});
export const wakeService = route({
  method: "POST",
  path: `${SERVICE}/wake`,
  role: "member",
  summary: "Wake a service that sleeps",
  params: ServicePath,
  reply: Ordered,
});
