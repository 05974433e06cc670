/**
 * Sleep.  agent ─WakeService─▶ scheduler ─WakeJobs─▶ agents that hold the jobs     agent ─EdgeActivity─▶ scheduler
 *
 * The desired set says the same as `WakeJobs`, later: the signal only saves the time.
 */
import { z } from "zod";
import { HostId, JobId, ServiceId } from "../domain/ids.ts";
import { defineRequest, defineSignal } from "./event.ts";

export const WakeService = defineRequest({
  name: "WakeService",
  subject: "berth.v1.host.{hostId}.wake-service",
  emittedBy: ["agent"],
  consumedBy: ["scheduler"],
  about:
    "A request came to a host's activator for a service that sleeps: ends that sleep, once, whoever asks how often.",
  payload: z.strictObject({
    hostId: HostId,
    serviceId: ServiceId,
    /** The sleep that is to end; a later one is not ended by a late message. */
    epoch: z.int().min(1),
  }),
  reply: z.strictObject({
    /** `woken` by this request, `ended` before it; `other` when the service is in another sleep by now. */
    outcome: z.enum(["woken", "ended", "other"]),
  }),
  timeoutMs: 2000,
});

export const WakeJobs = defineSignal({
  name: "WakeJobs",
  subject: "berth.v1.host.{hostId}.wake-jobs",
  emittedBy: ["scheduler"],
  consumedBy: ["agent"],
  about: "The sleep of these jobs is over: what the next desired set says too, without waiting for it.",
  payload: z.strictObject({
    hostId: HostId,
    jobs: z
      .array(z.strictObject({ jobId: JobId, epoch: z.int().min(1), sleepEpoch: z.int().min(1) }))
      .min(1)
      .max(500),
  }),
});

export const EdgeActivity = defineSignal({
  name: "EdgeActivity",
  subject: "berth.v1.host.{hostId}.edge-activity",
  emittedBy: ["agent"],
  consumedBy: ["scheduler"],
  about:
    "Every 2 s: the services that a host's edge saw requests or open connections of, each told three times. Who is not named was asked for by nobody.",
  payload: z.strictObject({
    hostId: HostId,
    /** Of the agent's and the proxy's life: with another one, what was before is unknown. */
    watchId: z.string().max(64),
    active: z.array(ServiceId).max(5000),
    /** Requests in flight and open connections right now, of the services that have any. */
    inFlight: z.record(ServiceId, z.int().min(0)).optional(),
  }),
});
