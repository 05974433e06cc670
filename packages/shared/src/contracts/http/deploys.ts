/** Deploys, releases and builds. */
import { z } from "zod";
import { DeployState, Stage } from "../../domain/deploy-state.ts";
import { BuildId, DeployId } from "../../domain/ids.ts";
import { EnvironmentName, GitCommit, OrgName, ServiceName } from "../../domain/names.ts";
import { BuildState } from "../build.ts";
import { ReleaseCause } from "../release.ts";
import { Span } from "../telemetry.ts";

import { DeployPath, Page, SERVICE, ServicePath } from "./paths.ts";
import { route } from "./route.ts";

export const Deploy = z.strictObject({
  id: DeployId,
  service: ServiceName,
  environment: EnvironmentName,
  org: OrgName,
  /** The furthest that it has come, in one word. */
  state: z.enum(["queued", "building", "built", ...DeployState.options]),
  final: z.boolean(),
  cause: ReleaseCause,
  commit: GitCommit.nullable(),
  release: z.int().nullable(),
  buildId: BuildId.nullable(),
  buildState: BuildState.nullable(),
  reasonCode: z.string().nullable(),
  reason: z.string().nullable(),
  createdAt: z.string(),
  finishedAt: z.string().nullable(),
});
export const listDeploys = route({
  method: "GET",
  path: `${SERVICE}/deploys`,
  role: "member",
  summary: "Deploys of a service, newest first",
  params: ServicePath,
  query: Page,
  reply: z.strictObject({ deploys: z.array(Deploy) }),
});

/** Where the time went. `coveredShare` is the share of the wall time that the stages explain. */
export const Timeline = z.strictObject({
  stages: z.array(Stage.extend({ owner: z.string() })),
  wallMs: z.number(),
  coveredShare: z.number(),
});
export const showDeploy = route({
  method: "GET",
  path: "/v1/deploys/:deployId",
  role: "member",
  summary: "One deploy: stages, trace, reason",
  params: DeployPath,
  reply: z.strictObject({
    deploy: Deploy,
    /** How it was going to go, and whether with downtime; null before it began. */
    plan: z.string().nullable().default(null),
    url: z.string(),
    timeline: Timeline,
    traceId: z.string().nullable(),
    spans: z.array(Span),
    firstResponse: z.strictObject({ status: z.int(), atMs: z.number() }).nullable(),
  }),
});
export const cancelDeploy = route({
  method: "POST",
  path: "/v1/deploys/:deployId/cancel",
  role: "member",
  summary: "Cancel a deploy; the old release keeps serving",
  params: DeployPath,
  reply: z.strictObject({ deploy: Deploy }),
});

export const DeployEvent = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("output"), lines: z.array(z.string()) }),
  z.strictObject({ type: z.literal("step"), lines: z.array(z.string()) }),
  z.strictObject({
    type: z.literal("finished"),
    deploy: Deploy,
    url: z.string(),
    firstResponseStatus: z.int().nullable(),
  }),
]);
export const watchDeploy = route({
  method: "GET",
  path: "/v1/deploys/:deployId/events",
  role: "member",
  summary: "A deploy's output and steps, live, until it ends",
  params: DeployPath,
  reply: DeployEvent,
  shape: "events",
});

export const showBuild = route({
  method: "GET",
  path: "/v1/builds/:buildId",
  role: "member",
  summary: "One build with its stored log",
  params: z.strictObject({ buildId: BuildId }),
  reply: z.strictObject({
    id: BuildId,
    deployId: DeployId,
    state: BuildState,
    commit: GitCommit.nullable(),
    reasonCode: z.string().nullable(),
    reason: z.string().nullable(),
    log: z.string(),
    createdAt: z.string(),
    finishedAt: z.string().nullable(),
  }),
});
