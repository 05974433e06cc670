/** What customers asked for.  api ─ReleaseCreated, ServiceChanged, DeployCancelRequested, ImageRequested─▶ scheduler, builder */
import { z } from "zod";
import { DeployId, ReleaseId, ServiceId } from "../domain/ids.ts";
import { defineEvent } from "./event.ts";

/** Why there is a release, and so a deploy. */
export const ReleaseCause = z.enum(["push", "image", "config", "scale", "rollback", "redeploy"]);
export type ReleaseCause = z.infer<typeof ReleaseCause>;

export const ReleaseCreated = defineEvent({
  name: "ReleaseCreated",
  subject: "berth.v1.release.{serviceId}.created",
  stream: "RELEASE",
  emittedBy: ["api"],
  consumedBy: ["scheduler"],
  about: "A new release is the service's desired one: a wake-up, the scheduler reads what is stored.",
  payload: z.strictObject({ serviceId: ServiceId, releaseId: ReleaseId, deployId: DeployId }),
  dedupeId: ({ releaseId }) => `${releaseId}.created`,
});

export const ServiceChanged = defineEvent({
  name: "ServiceChanged",
  subject: "berth.v1.release.{serviceId}.service-changed",
  stream: "RELEASE",
  emittedBy: ["api"],
  consumedBy: ["scheduler", "router"],
  about: "A service was scaled, created or removed: a wake-up.",
  payload: z.strictObject({ serviceId: ServiceId, revision: z.string().max(40) }),
  dedupeId: ({ serviceId, revision }) => `${serviceId}.${revision}.changed`,
});

export const DeployCancelRequested = defineEvent({
  name: "DeployCancelRequested",
  subject: "berth.v1.release.{serviceId}.cancel-requested",
  stream: "RELEASE",
  emittedBy: ["api"],
  consumedBy: ["builder", "scheduler"],
  about: "Somebody cancelled a deploy; the row in api.deploy_cancels is the order, this is the wake-up.",
  payload: z.strictObject({ serviceId: ServiceId, deployId: DeployId }),
  dedupeId: ({ deployId }) => `${deployId}.cancel`,
});

export const ImageRequested = defineEvent({
  name: "ImageRequested",
  subject: "berth.v1.release.{serviceId}.image-requested",
  stream: "RELEASE",
  emittedBy: ["api"],
  consumedBy: ["builder"],
  about:
    "Somebody wants a ready image deployed; the row in api.image_orders is the order, this is the wake-up.",
  payload: z.strictObject({ serviceId: ServiceId, deployId: DeployId }),
  dedupeId: ({ deployId }) => `${deployId}.image`,
});
