/** Builds.  builder ─BuildSucceeded─▶ api, ─BuildFailed─▶ git */
import { z } from "zod";
import { AppConfig } from "../domain/app-config.ts";
import { BuildId, DeployId, EnvironmentId, OrgId, ServiceId } from "../domain/ids.ts";
import { GitCommit, ImageDigest, ImageRepository, ProcessName } from "../domain/names.ts";
import { defineEvent } from "./event.ts";

export const BuildKind = z.enum(["dockerfile", "buildpack", "image"]);
export type BuildKind = z.infer<typeof BuildKind>;

export const BuildState = z.enum(["queued", "running", "succeeded", "failed", "cancelled", "superseded"]);
export type BuildState = z.infer<typeof BuildState>;

/** Process type → command. An empty command means the image's own. */
export const ProcessTable = z.record(ProcessName, z.strictObject({ command: z.string().max(4096) }));
export type ProcessTable = z.infer<typeof ProcessTable>;

/** What an image needs from the container profile. */
export const ImageProfile = z.strictObject({
  /** The port that the app listens on: the image's only EXPOSEd one, else 8080. Set as `PORT`. */
  port: z.int().min(1).max(65_535),
  rootFilesystem: z.enum(["read-only", "writable"]),
  /** True when the image's user is root, which gets the small capability list. */
  runsAsRoot: z.boolean(),
});
export type ImageProfile = z.infer<typeof ImageProfile>;

const BuildKey = z.strictObject({
  buildId: BuildId,
  deployId: DeployId,
  orgId: OrgId,
  environmentId: EnvironmentId,
  serviceId: ServiceId,
  /** Null when a ready image was taken. */
  commit: GitCommit.nullable(),
});

export const BuildSucceeded = defineEvent({
  name: "BuildSucceeded",
  subject: "berth.v1.build.{serviceId}.succeeded",
  stream: "BUILD",
  emittedBy: ["builder"],
  consumedBy: ["api"],
  about: "The image is in the registry; the api makes a release of it.",
  payload: BuildKey.extend({
    kind: BuildKind,
    imageRepository: ImageRepository,
    imageDigest: ImageDigest,
    imageBytes: z.int().min(0),
    processes: ProcessTable,
    profile: ImageProfile,
    /** What the repository says of how the app wants to run. */
    config: AppConfig.optional(),
  }),
  dedupeId: ({ buildId }) => `${buildId}.succeeded`,
});

export const BuildFailed = defineEvent({
  name: "BuildFailed",
  subject: "berth.v1.build.{serviceId}.failed",
  stream: "BUILD",
  emittedBy: ["builder"],
  consumedBy: ["git"],
  about: "A build ended without an image; its log is kept.",
  payload: BuildKey.extend({
    state: z.enum(["failed", "cancelled", "superseded"]),
    /** A code of the error catalogue. */
    reasonCode: z.string().max(60),
    reason: z.string().max(2000),
  }),
  dedupeId: ({ buildId }) => `${buildId}.failed`,
});
