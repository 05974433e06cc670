/** A deploy's progress, live.  builder, scheduler, router ─DeployProgressed─▶ git (into the push), api (watch) */
import { z } from "zod";
import { DeployState } from "../domain/deploy-state.ts";
import { DeployId, ReleaseId, ServiceId } from "../domain/ids.ts";
import { defineEvent, defineSignal } from "./event.ts";

export const DeployProgressed = defineSignal({
  name: "DeployProgressed",
  subject: "berth.v1.progress.{deployId}",
  emittedBy: ["git", "builder", "api", "scheduler", "router"],
  consumedBy: ["git", "api"],
  about:
    "One or more lines for the person who waits: build output, or what the platform is doing. May be lost.",
  payload: z.strictObject({
    deployId: DeployId,
    /** `output` is the build's own text, `step` is the platform speaking. */
    kind: z.enum(["output", "step"]),
    lines: z.array(z.string().max(16_384)).max(500),
    atMs: z.number(),
  }),
});

export const DeployFinished = defineEvent({
  name: "DeployFinished",
  subject: "berth.v1.deploy.{serviceId}.finished",
  stream: "DEPLOY",
  emittedBy: ["scheduler"],
  consumedBy: ["git"],
  about: "A deploy reached its final state; the row in scheduler.deploys says the same.",
  payload: z.strictObject({
    deployId: DeployId,
    serviceId: ServiceId,
    releaseId: ReleaseId,
    state: DeployState,
    reasonCode: z.string().max(60).nullable(),
    reason: z.string().max(2000).nullable(),
  }),
  dedupeId: ({ deployId }) => `${deployId}.finished`,
});
