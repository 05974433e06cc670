/** One host closely: who it is, what it runs, what it told at its last start, and what its jobs use right now. */
import { z } from "zod";
import { HostId, JobId } from "../../domain/ids.ts";
import { JobState } from "../../domain/job-state.ts";
import { JobUsage } from "../host.ts";
import { Host, HostPath } from "./hosts.ts";
import { route } from "./route.ts";

/** A job on a host, with names for people; also one that waits for its way off a drained host. */
export const HostJob = z.strictObject({
  jobId: JobId,
  org: z.string(),
  environment: z.string(),
  service: z.string(),
  process: z.string(),
  slot: z.int(),
  release: z.int(),
  state: JobState,
  ready: z.boolean(),
  inRotation: z.boolean(),
  /** Its slot was given to another job, which takes over before this one stops. */
  leaving: z.boolean(),
  memoryBytes: z.number(),
  restartsCount: z.int(),
  sinceMs: z.number(),
  /** Where its successor runs, or why no host takes that one: while it leaves. */
  successor: z
    .strictObject({ host: z.string().nullable(), state: JobState, waitsFor: z.string().nullable() })
    .nullable(),
});

/** What a host's agent told of its start: its recovery. */
export const RecoveryReport = z.looseObject({
  atMs: z.number().optional(),
  cause: z.string().optional(),
  jobs: z.number().optional(),
  adopted: z.number().optional(),
  restarted: z.number().optional(),
  removed: z.number().optional(),
  problems: z.array(z.string()).optional(),
  readyAfterMs: z.number().optional(),
});

export const HostIdentity = z.strictObject({
  /** Public keys: the host is who holds their private halves, at whatever address. */
  agentKey: z.string(),
  logshipperKey: z.string(),
  bootId: z.string().nullable(),
  agentStartedAtMs: z.number().nullable(),
  agentVersion: z.string().nullable(),
  /** Set while two machines speak with this host's credentials. */
  cloned: z
    .strictObject({
      sinceMs: z.number(),
      instances: z.array(
        z.strictObject({
          instance: z.string(),
          machine: z.string(),
          taken: z.boolean(),
          lastHeardMs: z.number(),
        }),
      ),
    })
    .nullable(),
});

export const showHost = route({
  method: "GET",
  path: "/v1/hosts/:host",
  role: "operator",
  summary: "One host: identity, policy, bid, alarms, jobs",
  params: HostPath,
  reply: z.strictObject({
    host: Host,
    identity: HostIdentity,
    recovery: RecoveryReport.nullable(),
    /** Jobs that it may be starting at once, when it tells. */
    startLimit: z.number().nullable(),
    jobs: z.array(HostJob),
  }),
});

export const hostUsage = route({
  method: "GET",
  path: "/v1/hosts/:host/usage",
  role: "operator",
  summary: "What each job of a host uses right now, measured there",
  params: HostPath,
  reply: z.strictObject({
    hostId: HostId,
    atMs: z.number(),
    jobs: z.array(JobUsage.extend({ org: z.string(), service: z.string(), instance: z.string() })),
  }),
});
