/**
 * Jobs: the scheduler's decision and the agent's answer.
 *
 *   scheduler ─AwardJobs (request)─▶ agent on {hostId} ─JobObserved─▶ scheduler, secrets
 *   scheduler ─HostDesired (signal, also every period)─▶ agent
 *
 * Everything about a job carries its `epoch`. Who holds a higher epoch drops the message.
 */
import { z } from "zod";
import { Stage } from "../domain/deploy-state.ts";
import { DeployId, EnvironmentId, HostId, JobId, OrgId, ReleaseId, ServiceId } from "../domain/ids.ts";
import { JobState } from "../domain/job-state.ts";
import { GitCommit, ImageDigest, ImageRepository, ProcessName } from "../domain/names.ts";
import { Constraints, HostState, NO_CONSTRAINTS, RefusalCode } from "../domain/placement.ts";
import { Resources } from "../domain/resources.ts";
import { DEFAULT_PARTITION_POLICY, PartitionPolicy } from "../domain/service-policy.ts";
import { SleepOrder } from "../domain/sleep.ts";
import { MAX_TASK_DEADLINE_MS } from "../domain/tasks.ts";
import { ImageProfile } from "./build.ts";
import { defineEvent, defineRequest, defineSignal } from "./event.ts";

export const JobKey = z.strictObject({ jobId: JobId, epoch: z.int().min(1) });

/** Readiness: TCP connect on the port by default, an HTTP GET that answers 2xx or 3xx when a path is given. */
export const Readiness = z.strictObject({
  httpPath: z.string().max(500).nullable(),
  /** From the container's start to ready; past it the job has failed. */
  deadlineMs: z.int().min(1000).max(1_800_000),
  /** Processes other than web are ready after being alive this long. */
  aliveMs: z.int().min(0).max(600_000),
});
export type Readiness = z.infer<typeof Readiness>;

/** All that an agent needs to run a job, but the secrets. */
export const JobSpec = z.strictObject({
  jobId: JobId,
  epoch: z.int().min(1),
  orgId: OrgId,
  environmentId: EnvironmentId,
  serviceId: ServiceId,
  releaseId: ReleaseId,
  deployId: DeployId,
  /** For people and for the app's environment: `shop`, `production`, `v12`, the pushed commit if there is one. */
  serviceName: z.string(),
  environmentName: z.string(),
  releaseVersion: z.int().min(1),
  commit: GitCommit.nullable(),
  process: ProcessName,
  /** 1, 2, …: which instance of the process this is. */
  slot: z.int().min(1),
  command: z.string().max(4096),
  image: z.strictObject({ repository: ImageRepository, digest: ImageDigest, bytes: z.int().min(0) }),
  profile: ImageProfile,
  resources: Resources,
  constraints: Constraints.default(NO_CONSTRAINTS),
  /** What its host does without the scheduler's word. */
  partition: PartitionPolicy.default(DEFAULT_PARTITION_POLICY),
  readiness: Readiness,
  /** Set for work that runs once and ends: it is never ready, never started again, and killed at its deadline. */
  task: z
    .strictObject({ deadlineMs: z.int().min(1000).max(MAX_TASK_DEADLINE_MS) })
    .nullable()
    .default(null),
  /** SIGTERM, then SIGKILL after this. */
  stopGraceMs: z.int().min(0).max(600_000),
  /** Variables from the app's repository, no secrets; the service's own win over them. */
  env: z.record(z.string(), z.string()).default({}),
  /** Version of the service's variables; 0 when it has none. */
  configVersion: z.int().min(0),
  /** W3C traceparent of the deploy. */
  traceparent: z.string().max(60).nullable(),
});
export type JobSpec = z.infer<typeof JobSpec>;

export const AwardJobs = defineRequest({
  name: "AwardJobs",
  subject: "berth.v1.host.{hostId}.award",
  emittedBy: ["scheduler"],
  consumedBy: ["agent"],
  about: "The scheduler awards jobs to a host; the agent checks its capacity again and answers per job.",
  payload: z.strictObject({
    hostId: HostId,
    /** Fencing number of the leader; an agent refuses a lower one than it has seen. */
    leaderEpoch: z.int().min(1),
    /** An accepted job is the host's until this passes without a heartbeat that names it. */
    leaseExpiresAtMs: z.number(),
    jobs: z.array(JobSpec).min(1).max(50),
  }),
  reply: z.strictObject({
    hostId: HostId,
    answers: z.array(
      z.discriminatedUnion("answer", [
        z.strictObject({ answer: z.literal("accepted"), jobId: JobId, epoch: z.int() }),
        z.strictObject({
          answer: z.literal("declined"),
          jobId: JobId,
          epoch: z.int(),
          code: RefusalCode,
          detail: z.string().max(300),
        }),
      ]),
    ),
    /** Fresh state after the answers: the host's next standing bid. */
    state: HostState,
  }),
  timeoutMs: 2000,
});

/** What a job may do now. `run` keeps it, `drain` keeps it while its connections end, `stop` ends it. */
export const DesiredAction = z.enum(["run", "stop"]);

/** A digest is about 73 bytes in a message: these stay below half of the bus's limit. */
export const MAX_PINNED_IMAGES = 5000;

export const HostDesired = defineSignal({
  name: "HostDesired",
  subject: "berth.v1.host.{hostId}.desired",
  emittedBy: ["scheduler"],
  consumedBy: ["agent"],
  about:
    "The whole desired set of one host, read whole and fresh; sent on change and every few seconds. Jobs of the host's ledger that a newer set does not name are stopped.",
  payload: z.strictObject({
    hostId: HostId,
    leaderEpoch: z.int().min(1),
    /** Grows with every change; an agent ignores an older one of the same leader epoch. */
    revision: z.int().min(0),
    /** True when every stored job was read. An agent stops nothing on a set that is not whole. */
    whole: z.boolean(),
    /** When the record was read, by the scheduler's clock: a set that comes late does not end newer jobs. */
    madeAtMs: z.number().optional(),
    /** The newest heartbeat of the host that was stored before the record was read: leases count from when it was sent. */
    answersBeat: z.strictObject({ bootId: z.string().max(64), monotonicMs: z.number().min(0) }).optional(),
    /** Jobs that must exist on the host, with their epochs. */
    jobs: z
      .array(
        z.strictObject({
          jobId: JobId,
          epoch: z.int().min(1),
          action: DesiredAction,
          /** The job's service sleeps: so does the job, unless its host woke it from this sleep already. */
          sleep: SleepOrder.optional(),
          /** The newest sleep of the job's service that is over. */
          wokenEpoch: z.int().min(1).optional(),
        }),
      )
      .max(2000),
    /**
     * Images that this host keeps although no job of it runs them: what the services with jobs here may be rolled
     * back to. Told now and then, always whole; a set without it says nothing about images.
     */
    pinnedImages: z.array(ImageDigest).max(MAX_PINNED_IMAGES).optional(),
  }),
});

/** The sequence of a job's first observation: that its host accepted it. */
export const ACCEPTED_SEQUENCE = 1;

export const ObservedJob = z.strictObject({
  jobId: JobId,
  epoch: z.int().min(1),
  /** Grows with every change of this job on this host; a lower one is late. */
  sequence: z.int().min(0),
  state: JobState,
  ready: z.boolean(),
  /** IPv4 address of the container, when it has one. */
  address: z.string().max(45).nullable(),
  port: z.int().min(1).max(65_535).nullable(),
  restartsCount: z.int().min(0),
  exitCode: z.int().nullable(),
  /** A code of DeployFailure when something is wrong, for example `never-listened`. */
  reasonCode: z.string().max(60).nullable(),
  reason: z.string().max(1000).nullable(),
  /** Last lines of the container's output when it failed. */
  lastLines: z.array(z.string().max(2000)).max(20),
  /** Done stages on this host: `secrets`, `pull`, `create`, `start`, `ready`. */
  stages: z.array(Stage).max(20),
});
export type ObservedJob = z.infer<typeof ObservedJob>;

export const JobObserved = defineEvent({
  name: "JobObserved",
  subject: "berth.v1.job.{hostId}.observed",
  stream: "JOB",
  emittedBy: ["agent"],
  consumedBy: ["scheduler", "secrets"],
  about:
    "What an agent saw of one of its jobs. `accepted` asks the secrets service for the job's envelope and is repeated until it came.",
  payload: z.strictObject({ hostId: HostId, atMs: z.number(), job: ObservedJob }),
  dedupeId: ({ hostId, job, atMs }) => `${hostId}.${job.jobId}.${job.epoch}.${job.sequence}.${atMs}`,
});
