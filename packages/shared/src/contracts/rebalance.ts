/** The rebalancer's plan, asked for.  api ─PlanRebalance─▶ scheduler */
import { z } from "zod";
import { HostId, JobId, ServiceId } from "../domain/ids.ts";
import { ProcessName } from "../domain/names.ts";
import { defineRequest } from "./event.ts";

export const PlannedMove = z.strictObject({
  jobId: JobId,
  serviceId: ServiceId,
  process: ProcessName,
  slot: z.int().min(1),
  fromHostId: HostId,
  toHostId: HostId,
  /** By the auction's score. */
  gain: z.number(),
  reason: z.string().max(300),
});

export const PlanRebalance = defineRequest({
  name: "PlanRebalance",
  subject: "berth.v1.pod.plan-rebalance",
  emittedBy: ["api"],
  consumedBy: ["scheduler"],
  about: "Asks which jobs would be moved now, in order, and why; nothing is moved by it.",
  payload: z.strictObject({ mostMoves: z.int().min(1).max(100) }),
  reply: z.strictObject({ moves: z.array(PlannedMove).max(100) }),
  timeoutMs: 10_000,
});
