/** Services: make, scale, look at, ask why; their variables and logs. */
import { z } from "zod";
import { Autoscale } from "../../domain/autoscale.ts";
import { DeployId, HostId, JobId, ServiceId } from "../../domain/ids.ts";
import { JobState } from "../../domain/job-state.ts";
import { EnvironmentName, OrgName, ProcessName, ServiceName, VariableName } from "../../domain/names.ts";
import { HostState, Refusal, ScoreTerms } from "../../domain/placement.ts";
import { DEFAULT_RESOURCES, MIB, Resources } from "../../domain/resources.ts";
import { Rollout } from "../../domain/rollout.ts";
import { LogLine } from "../log.ts";
import { VariableInfo } from "../secret.ts";

import { Deploy } from "./deploys.ts";
import { ENVIRONMENT, EnvironmentPath, Page, SERVICE, ServicePath } from "./paths.ts";
import { route } from "./route.ts";
import { ServiceSleep } from "./sleep.ts";

/** Scale, limits and health check of one process. */
export const ProcessSettings = z.strictObject({
  process: ProcessName,
  scale: z.int().min(0).max(500),
  memoryBytes: z.int().min(16 * MIB),
  cpuMillis: z.int().min(10),
  diskBytes: Resources.shape.diskBytes.default(DEFAULT_RESOURCES.diskBytes),
  healthPath: z.string().nullable(),
  /** From start to ready; null: the platform's own. */
  startDeadlineMs: z.int().nullable().default(null),
  /** From SIGTERM to SIGKILL; null: the platform's own. */
  stopGraceMs: z.int().nullable().default(null),
  /** How its instances are replaced in a deploy. */
  ...Rollout.shape,
  /** Null: only its owner changes the count. */
  autoscale: Autoscale.nullable().default(null),
});

export const Service = z.strictObject({
  id: ServiceId,
  org: OrgName,
  environment: EnvironmentName,
  name: ServiceName,
  kind: z.enum(["code"]),
  url: z.string(),
  gitUrl: z.string(),
  deployBranch: z.string(),
  processes: z.array(ProcessSettings),
  currentRelease: z.int().nullable(),
  /** Since when edges answer 503 for it, because somebody said so. */
  maintenanceSince: z.string().nullable().default(null),
  createdAt: z.string(),
});
export const listServices = route({
  method: "GET",
  path: `${ENVIRONMENT}/services`,
  role: "member",
  summary: "Services of an environment",
  params: EnvironmentPath,
  reply: z.strictObject({ services: z.array(Service) }),
});
export const createService = route({
  method: "POST",
  path: `${ENVIRONMENT}/services`,
  role: "member",
  summary: "Make a service",
  params: EnvironmentPath,
  body: z.strictObject({
    name: ServiceName,
    deployBranch: z.string().max(100).default("main"),
    healthPath: z.string().max(500).startsWith("/").nullable().default(null),
  }),
  reply: Service,
});
export const showService = route({
  method: "GET",
  path: SERVICE,
  role: "member",
  summary: "One service",
  params: ServicePath,
  reply: Service,
});
export const removeService = route({
  method: "DELETE",
  path: SERVICE,
  role: "owner",
  summary: "Remove a service with its jobs, routes and variables",
  params: ServicePath,
  reply: z.strictObject({ removed: z.literal(true) }),
});

const Maintenance = z.strictObject({
  on: z.boolean(),
  sinceMs: z.number().nullable(),
  /** True once every live edge does so. */
  acknowledged: z.boolean(),
});
export const showMaintenance = route({
  method: "GET",
  path: `${SERVICE}/maintenance`,
  role: "member",
  summary: "Whether the service is in maintenance, and whether every edge knows",
  params: ServicePath,
  reply: Maintenance,
});
export const changeMaintenance = route({
  method: "PUT",
  path: `${SERVICE}/maintenance`,
  role: "member",
  summary: "Let every edge answer 503 with a page, or let requests through again; instances keep running",
  params: ServicePath,
  body: z.strictObject({ on: z.boolean() }),
  reply: Maintenance,
});

export const scaleService = route({
  method: "PUT",
  path: `${SERVICE}/scale`,
  role: "member",
  summary: "Set the number and size of a service's processes",
  params: ServicePath,
  body: z.strictObject({
    processes: z
      .array(
        z.strictObject({
          process: ProcessName,
          scale: z.int().min(0).max(500).optional(),
          memoryBytes: z
            .int()
            .min(16 * MIB)
            .optional(),
          cpuMillis: z.int().min(10).optional(),
          diskBytes: Resources.shape.diskBytes.optional(),
          healthPath: z.string().max(500).startsWith("/").nullable().optional(),
        }),
      )
      .min(1)
      .max(20),
  }),
  /** `deployId` when sizes changed, because new sizes mean new containers. */
  reply: z.strictObject({ processes: z.array(ProcessSettings), deployId: DeployId.nullable() }),
});

export const Instance = z.strictObject({
  jobId: JobId,
  process: ProcessName,
  slot: z.int(),
  release: z.int(),
  state: JobState,
  ready: z.boolean(),
  inRotation: z.boolean(),
  host: z.string().nullable(),
  address: z.string().nullable(),
  restartsCount: z.int(),
  reason: z.string().nullable(),
  sinceMs: z.number(),
});
export const serviceStatus = route({
  method: "GET",
  path: `${SERVICE}/status`,
  role: "member",
  summary: "What runs, where, and what is being deployed",
  params: ServicePath,
  reply: z.strictObject({
    service: Service,
    instances: z.array(Instance),
    sleep: ServiceSleep.optional(),
    autoscale: z.lazy(() => z.array(AutoscaleState)).default([]),
    latestDeploy: z.lazy(() => Deploy).nullable(),
  }),
});

/** A count that follows its load, and why it is what it is. */
export const AutoscaleState = z.strictObject({
  process: ProcessName,
  scale: z.int(),
  min: z.int(),
  max: z.int(),
  reason: z.string(),
  changedAtMs: z.number(),
});
export type AutoscaleState = z.infer<typeof AutoscaleState>;

/** A stored decision of the auction. */
export const Decision = z.strictObject({
  id: z.string(),
  jobId: JobId,
  process: ProcessName,
  slot: z.int(),
  epoch: z.int(),
  release: z.int(),
  decidedAtMs: z.number(),
  outcome: z.enum(["placed", "unplaceable"]),
  winner: z.string().nullable(),
  answer: z.enum(["accepted", "declined", "no-answer", "none"]),
  /** True while the job still runs under this decision. */
  current: z.boolean(),
  candidates: z.array(
    z.strictObject({
      hostId: HostId,
      host: z.string(),
      bid: HostState.nullable(),
      score: z.number().nullable(),
      terms: ScoreTerms.nullable(),
      refusal: Refusal.nullable(),
    }),
  ),
  /** The reason that all refusals share, when nothing could be placed. */
  commonRefusal: z.string().nullable(),
});
export const whyService = route({
  method: "GET",
  path: `${SERVICE}/why`,
  role: "member",
  summary: "Why the jobs are where they are: bids, scores, refusals",
  params: ServicePath,
  query: Page,
  reply: z.strictObject({
    decisions: z.array(Decision),
    /** Instances that nobody replaces while their host is silent, and why. */
    waiting: z
      .array(z.strictObject({ process: ProcessName, slot: z.int(), host: z.string(), reason: z.string() }))
      .default([]),
    autoscale: z.array(AutoscaleState).default([]),
    sleep: ServiceSleep.optional(),
  }),
});
export const listVars = route({
  method: "GET",
  path: `${SERVICE}/vars`,
  role: "member",
  summary: "Names of a service's variables; values are never shown",
  params: ServicePath,
  reply: z.strictObject({ version: z.int(), variables: z.array(VariableInfo) }),
});
export const changeVars = route({
  method: "PATCH",
  path: `${SERVICE}/vars`,
  role: "member",
  summary: "Set and remove variables; running processes are replaced",
  params: ServicePath,
  body: z.strictObject({
    set: z.record(VariableName, z.string().max(65_536)).default({}),
    unset: z.array(VariableName).max(500).default([]),
  }),
  reply: z.strictObject({
    version: z.int(),
    variables: z.array(VariableInfo),
    deployId: DeployId.nullable(),
  }),
});
export const readLogs = route({
  method: "GET",
  path: `${SERVICE}/logs`,
  role: "member",
  summary: "The last lines of all replicas, then live ones when `follow` is 1",
  params: ServicePath,
  query: z.strictObject({
    lines: z.coerce.number().int().min(0).max(1000).default(100),
    follow: z.enum(["0", "1"]).default("0"),
  }),
  reply: z.discriminatedUnion("type", [
    z.strictObject({ type: z.literal("lines"), lines: z.array(LogLine) }),
    z.strictObject({ type: z.literal("notice"), text: z.string() }),
  ]),
  shape: "events",
});
