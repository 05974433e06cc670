/** The customer API, version 1. Services and environments are named, not numbered: `/environments/ORG/ENV/...`. */
import { z } from "zod";
import { DeployState, Stage } from "../../domain/deploy-state.ts";
import {
  BuildId,
  DeployId,
  EnvironmentId,
  HostId,
  JobId,
  OrgId,
  ReleaseId,
  ServiceId,
} from "../../domain/ids.ts";
import { JobState } from "../../domain/job-state.ts";
import {
  EnvironmentName,
  GitCommit,
  HostName,
  OrgName,
  ProcessName,
  ServiceName,
  VariableName,
} from "../../domain/names.ts";
import { HostState, Refusal, ScoreTerms } from "../../domain/placement.ts";
import { MIB } from "../../domain/resources.ts";
import { BuildState } from "../build.ts";
import { LogLine } from "../log.ts";
import { VariableInfo } from "../secret.ts";
import { Span } from "../telemetry.ts";
import { route } from "./route.ts";

const Page = z.strictObject({ limit: z.coerce.number().int().min(1).max(200).default(50) });

const OrgPath = z.strictObject({ org: OrgName });
const EnvironmentPath = z.strictObject({ org: OrgName, environment: EnvironmentName });
const ServicePath = EnvironmentPath.extend({ service: ServiceName });
const DeployPath = z.strictObject({ deployId: DeployId });

const ENVIRONMENT = "/v1/orgs/:org/environments/:environment";
const SERVICE = `${ENVIRONMENT}/services/:service`;

// ---- Who am I, orgs, environments

export const WhoAmI = z.strictObject({
  userId: z.string(),
  email: z.string(),
  isOperator: z.boolean(),
  tokenName: z.string(),
  tokenExpiresAt: z.string().nullable(),
  orgs: z.array(z.strictObject({ name: OrgName, role: z.enum(["member", "owner"]) })),
});
export const getWhoAmI = route({
  method: "GET",
  path: "/v1/whoami",
  role: "member",
  summary: "Who the token belongs to",
  reply: WhoAmI,
});

export const Org = z.strictObject({
  id: OrgId,
  name: OrgName,
  role: z.enum(["member", "owner"]),
  createdAt: z.string(),
});
export const listOrgs = route({
  method: "GET",
  path: "/v1/orgs",
  role: "member",
  summary: "Your orgs",
  reply: z.strictObject({ orgs: z.array(Org) }),
});
export const createOrg = route({
  method: "POST",
  path: "/v1/orgs",
  role: "operator",
  summary: "Make an org that you own",
  body: z.strictObject({ name: OrgName }),
  reply: Org,
});

export const Environment = z.strictObject({
  id: EnvironmentId,
  org: OrgName,
  name: EnvironmentName,
  servicesCount: z.int(),
  createdAt: z.string(),
});
export const listEnvironments = route({
  method: "GET",
  path: "/v1/environments",
  role: "member",
  summary: "All environments of your orgs",
  reply: z.strictObject({ environments: z.array(Environment) }),
});
export const createEnvironment = route({
  method: "POST",
  path: "/v1/orgs/:org/environments",
  role: "owner",
  summary: "Make an environment",
  params: OrgPath,
  body: z.strictObject({ name: EnvironmentName }),
  reply: Environment,
});

// ---- Services

/** Scale, limits and health check of one process. */
export const ProcessSettings = z.strictObject({
  process: ProcessName,
  scale: z.int().min(0).max(500),
  memoryBytes: z.int().min(16 * MIB),
  cpuMillis: z.int().min(10),
  healthPath: z.string().nullable(),
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
    latestDeploy: z.lazy(() => Deploy).nullable(),
  }),
});

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
  reply: z.strictObject({ decisions: z.array(Decision) }),
});

// ---- Variables

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

// ---- Deploys, releases, builds

export const Deploy = z.strictObject({
  id: DeployId,
  service: ServiceName,
  environment: EnvironmentName,
  org: OrgName,
  /** The furthest that it has come, in one word. */
  state: z.enum(["queued", "building", "built", ...DeployState.options]),
  final: z.boolean(),
  cause: z.enum(["push", "config", "scale"]),
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

export const Release = z.strictObject({
  id: ReleaseId,
  version: z.int(),
  commit: GitCommit,
  imageDigest: z.string(),
  configVersion: z.int(),
  processes: z.array(z.strictObject({ process: ProcessName, command: z.string() })),
  description: z.string(),
  createdAt: z.string(),
  current: z.boolean(),
});
export const listReleases = route({
  method: "GET",
  path: `${SERVICE}/releases`,
  role: "member",
  summary: "Releases of a service, newest first",
  params: ServicePath,
  query: Page,
  reply: z.strictObject({ releases: z.array(Release) }),
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
    commit: GitCommit,
    reasonCode: z.string().nullable(),
    reason: z.string().nullable(),
    log: z.string(),
    createdAt: z.string(),
    finishedAt: z.string().nullable(),
  }),
});

// ---- Logs

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

// ---- Hosts

export const Host = z.strictObject({
  id: HostId,
  name: HostName,
  nodeAddress: z.string(),
  subnet: z.string(),
  zone: z.string(),
  state: z.enum(["alive", "suspect", "lost", "never-seen"]),
  lastHeartbeatAt: z.string().nullable(),
  engineVersion: z.string().nullable(),
  jobsCount: z.int(),
  bid: HostState.nullable(),
  joinedAt: z.string(),
});
export const listHosts = route({
  method: "GET",
  path: "/v1/hosts",
  role: "operator",
  summary: "Hosts of the pod with their standing bids",
  reply: z.strictObject({ hosts: z.array(Host) }),
});
export const createJoinToken = route({
  method: "POST",
  path: "/v1/hosts/join-tokens",
  role: "operator",
  summary: "A one-time token with which one machine joins",
  body: z.strictObject({ lifetimeMinutes: z.int().min(1).max(1440).default(60) }),
  reply: z.strictObject({ token: z.string(), expiresAt: z.string() }),
});

/** Proves possession of a one-time token; everything else about the host is made on the host. */
export const joinHost = route({
  method: "POST",
  path: "/v1/hosts/join",
  role: "anyone",
  summary: "Join a machine to the pod with a one-time token",
  body: z.strictObject({
    token: z.string().max(200),
    name: HostName,
    nodeAddress: z.ipv4(),
    zone: z.string().max(40).default("default"),
    /** NKey public keys (`U…`) of the two processes and the curve public key (`X…`) of the agent. */
    agentKey: z.string().regex(/^U[A-Z2-7]{55}$/),
    logshipperKey: z.string().regex(/^U[A-Z2-7]{55}$/),
    curveKey: z.string().regex(/^X[A-Z2-7]{55}$/),
  }),
  reply: z.strictObject({
    hostId: HostId,
    name: HostName,
    podId: z.string(),
    nodeAddress: z.string(),
    subnet: z.string(),
    zone: z.string(),
    natsUrl: z.string(),
    /** JWTs confined to this host's subjects. */
    agentJwt: z.string(),
    logshipperJwt: z.string(),
    registry: z.string(),
    podDomain: z.string(),
    caCertificatePem: z.string(),
  }),
});
export type JoinReply = z.infer<typeof joinHost.reply>;

/** `hostDir/host.json`: what a host knows of itself; written by `berth host join`, read by agent and logshipper. */
export const HostFile = joinHost.reply.omit({ agentJwt: true, logshipperJwt: true, caCertificatePem: true });
export type HostFile = z.infer<typeof HostFile>;
