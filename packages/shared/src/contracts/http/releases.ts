/**
 * Releases: what a service ran and can run again without a build. A release is an image, a version of the variables
 * and the sizes of the processes; how many instances run is not part of it.
 */
import { z } from "zod";
import { DeployId, JobId, ReleaseId } from "../../domain/ids.ts";
import { GitCommit, ProcessName } from "../../domain/names.ts";
import { ReleaseCause } from "../release.ts";
import { Page, SERVICE, ServicePath } from "./paths.ts";
import { route } from "./route.ts";

export const MAX_NOTES_CHARACTERS = 1000;

/** The images that a service released last stay: at least these can be rolled back to. */
export const KEPT_IMAGES = 10;
/** Of one service, however few images they have. */
export const KEPT_RELEASES = 100;

const ReleasePath = ServicePath.extend({ version: z.coerce.number().int().min(1).max(1_000_000_000) });

export const Release = z.strictObject({
  id: ReleaseId,
  version: z.int(),
  /** Null for a ready image, which no push made. */
  commit: GitCommit.nullable(),
  imageDigest: z.string(),
  configVersion: z.int(),
  processes: z.array(z.strictObject({ process: ProcessName, command: z.string() })),
  description: z.string(),
  createdAt: z.string(),
  /** What the customer asked for last. */
  current: z.boolean(),
  /** What is in rotation: another one than the current while, or after, a deploy did not succeed. */
  serving: z.boolean().default(false),
  cause: ReleaseCause.default("push"),
  notes: z.string().default(""),
});
export const listReleases = route({
  method: "GET",
  path: `${SERVICE}/releases`,
  role: "member",
  summary: "Kept releases of a service, newest first",
  params: ServicePath,
  query: Page,
  reply: z.strictObject({ releases: z.array(Release) }),
});

export const ReleaseDetails = Release.extend({
  deployId: DeployId,
  /** How the deploy of it went; null before it began. */
  deployState: z.string().nullable(),
  imageBytes: z.int(),
  sizes: z.array(
    z.strictObject({
      process: ProcessName,
      memoryBytes: z.int(),
      cpuMillis: z.int(),
      diskBytes: z.int(),
      healthPath: z.string().nullable(),
    }),
  ),
});
export const showRelease = route({
  method: "GET",
  path: `${SERVICE}/releases/:version`,
  role: "member",
  summary: "One release: image, processes, sizes, notes",
  params: ReleasePath,
  reply: ReleaseDetails,
});
export const changeRelease = route({
  method: "PATCH",
  path: `${SERVICE}/releases/:version`,
  role: "member",
  summary: "Set a release's notes",
  params: ReleasePath,
  body: z.strictObject({
    notes: z
      .string()
      .max(MAX_NOTES_CHARACTERS)
      // Control characters could change what a terminal shows.
      .regex(/^[^\u0000-\u0008\u000b-\u001f\u007f]*$/, "must not have control characters"),
  }),
  reply: ReleaseDetails,
});
export const removeRelease = route({
  method: "DELETE",
  path: `${SERVICE}/releases/:version`,
  role: "member",
  summary: "Give up a release: it cannot be rolled back to any more",
  params: ReleasePath,
  reply: z.strictObject({ removed: z.literal(true) }),
});

const NewRelease = z.strictObject({ deployId: DeployId, version: z.int() });

export const rollbackService = route({
  method: "POST",
  path: `${SERVICE}/rollback`,
  role: "member",
  summary: "Make a new release of an earlier one, without a build",
  params: ServicePath,
  body: z.strictObject({
    /** Left out: the newest earlier release whose deploy succeeded. */
    version: z.int().min(1).optional(),
    /** `restore` brings back the variables of that release, `keep` keeps today's. */
    variables: z.enum(["restore", "keep"]).default("restore"),
  }),
  reply: NewRelease.extend({ from: z.int(), to: z.int() }),
});
export const redeployService = route({
  method: "POST",
  path: `${SERVICE}/redeploy`,
  role: "member",
  summary: "Deploy the current release again, with today's variables and sizes",
  params: ServicePath,
  reply: NewRelease,
});
export const restartService = route({
  method: "POST",
  path: `${SERVICE}/restart`,
  role: "member",
  summary: "Replace the instances of the serving release, the new ones first",
  params: ServicePath,
  body: z.strictObject({ process: ProcessName.optional() }),
  /** The instances that are to be replaced. */
  reply: z.strictObject({
    release: z.int(),
    instances: z.array(z.strictObject({ jobId: JobId, process: ProcessName, slot: z.int() })),
  }),
});
