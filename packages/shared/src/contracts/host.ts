/** Hosts: heartbeats that are standing bids, and the bid asked for.  agent ─HostHeartbeat─▶ scheduler, router */
import { z } from "zod";
import { HostId, JobId } from "../domain/ids.ts";
import { HostState } from "../domain/placement.ts";
import { defineRequest, defineSignal } from "./event.ts";
import { JobKey, ObservedJob } from "./job.ts";

/** What a host found at its agent's start, and what became of it. */
export const HostRecovery = z.strictObject({
  atMs: z.number(),
  cause: z.enum(["first-start", "agent-restart", "reboot"]),
  /** Jobs of the ledger. */
  jobs: z.int().min(0),
  /** Jobs whose container ran on. */
  adopted: z.int().min(0),
  /** Jobs that had run and did not run any more: started again. */
  restarted: z.int().min(0),
  /** Things that were left over and were removed. */
  removed: z.int().min(0),
  /** For the operator: what could not be put right, or should be known. */
  problems: z.array(z.string().max(300)).max(20),
  /** From the agent's start until every job that was ready before is ready again; null: not yet. */
  readyAfterMs: z.number().min(0).nullable(),
});
export type HostRecovery = z.infer<typeof HostRecovery>;

/** A host that holds more tells no whole list: it would not hear what to stop. */
export const MOST_JOBS_TOLD = 1000;

/** What every beat says. */
const beatHead = {
  hostId: HostId,
  atMs: z.number(),
  /** Milliseconds since the host's boot: leases are counted from the beat that was answered. */
  monotonicMs: z.number().min(0).optional(),
  /** The standing bid is void after this. */
  expiresAtMs: z.number(),
  /** Kernel boot id and agent start: tells a reboot and a restart. */
  bootId: z.string().max(64),
  agentStartedAtMs: z.number(),
};

/** What every beat says that does not only repeat. */
const beatBody = {
  agentVersion: z.string().max(40),
  engineVersion: z.string().max(60),
  state: HostState,
  /** Jobs whose containers are here although the ledger does not know them. */
  unknown: z.array(JobKey).max(MOST_JOBS_TOLD).optional(),
  recovery: HostRecovery.optional(),
  /** Most starts that the agent gives its engine at once, as measured. */
  startsAtOnce: z.int().min(1).optional(),
  /** Highest route table version applied, per environment. */
  routes: z.record(z.string(), z.int().min(0)),
  /** The machine's own name and addresses, for people: tells two machines with one host's credentials apart. */
  machine: z.string().max(200).optional(),
};

export const FullBeat = z.strictObject({
  form: z.literal("full").optional(),
  ...beatHead,
  /** Grows with every beat of one agent's run that does not only repeat; those after it name it. */
  revision: z.int().min(1).optional(),
  ...beatBody,
  /** True when `jobs` is the whole ledger. */
  whole: z.boolean(),
  jobs: z.array(ObservedJob).max(MOST_JOBS_TOLD),
});
export type FullBeat = z.infer<typeof FullBeat>;

/** Where more changed, all are told: it costs no more. */
export const MOST_JOBS_CHANGED = 100;

/** All is as of the revision `since`, of the same run of the agent, but for what is said here. */
export const ChangedBeat = z.strictObject({
  form: z.literal("changed"),
  ...beatHead,
  since: z.int().min(1),
  revision: z.int().min(2),
  ...beatBody,
  /** New ones, and those of which anything is new. */
  jobs: z.array(ObservedJob).max(MOST_JOBS_CHANGED),
  /** Jobs that the host does not hold any more. */
  gone: z.array(JobId).max(MOST_JOBS_CHANGED),
});
export type ChangedBeat = z.infer<typeof ChangedBeat>;

/** All is as of this revision, of the same run of the agent. */
export const SameBeat = z.strictObject({
  form: z.literal("same"),
  ...beatHead,
  revision: z.int().min(1),
});
export type SameBeat = z.infer<typeof SameBeat>;

export const HostHeartbeat = defineSignal({
  name: "HostHeartbeat",
  subject: "berth.v1.host.{hostId}.heartbeat",
  emittedBy: ["agent"],
  consumedBy: ["scheduler", "router"],
  about:
    "Every 2 s: the host's state, which is its standing bid, and every job it holds; in full every 10 s, or up to every minute where a host holds many jobs, and when asked; else what changed, or that nothing did.",
  payload: z.discriminatedUnion("form", [FullBeat, ChangedBeat, SameBeat]),
});

export const AskBid = defineRequest({
  name: "AskBid",
  subject: "berth.v1.host.{hostId}.ask-bid",
  emittedBy: ["scheduler"],
  consumedBy: ["agent"],
  about: "Asks a host for a fresh bid when its standing one is stale; its next heartbeat is in full.",
  payload: z.strictObject({ hostId: HostId }),
  reply: z.strictObject({ hostId: HostId, expiresAtMs: z.number(), state: HostState }),
  timeoutMs: 1000,
});

/** A host as its neighbours must know it. */
export const HostPeer = z.strictObject({
  hostId: HostId,
  name: z.string(),
  nodeAddress: z.string(),
  subnet: z.string(),
});
export type HostPeer = z.infer<typeof HostPeer>;

export const HostPeersChanged = defineSignal({
  name: "HostPeersChanged",
  subject: "berth.v1.peers.changed",
  emittedBy: ["api"],
  consumedBy: ["agent"],
  about: "The whole list of hosts and their container subnets; on change and every 10 s.",
  payload: z.strictObject({ revision: z.int().min(0), peers: z.array(HostPeer).max(1000) }),
});

export const GetHostPeers = defineRequest({
  name: "GetHostPeers",
  subject: "berth.v1.peers.get.{hostId}",
  emittedBy: ["agent"],
  consumedBy: ["api"],
  about:
    "An agent asks for the list of hosts at its start and every minute, and tells the address at which the others reach it.",
  payload: z.strictObject({ hostId: HostId, nodeAddress: z.ipv4().optional() }),
  reply: z.strictObject({ revision: z.int().min(0), peers: z.array(HostPeer).max(1000) }),
  timeoutMs: 2000,
});

/** What one job's container uses, from its cgroup. */
export const JobUsage = z.strictObject({
  jobId: JobId,
  memoryBytes: z.number().min(0),
  /** Null where there is no limit. */
  memoryLimitBytes: z.number().min(0).nullable(),
  /** Thousandths of one CPU, over the time of the measurement. */
  cpuMillis: z.number().min(0),
  processesCount: z.int().min(0),
});
export type JobUsage = z.infer<typeof JobUsage>;

export const GetHostUsage = defineRequest({
  name: "GetHostUsage",
  subject: "berth.v1.host.{hostId}.usage",
  emittedBy: ["api", "scheduler"],
  consumedBy: ["agent"],
  about: "Asks a host what each of its jobs uses right now: memory, CPU over half a second, processes.",
  payload: z.strictObject({ hostId: HostId }),
  reply: z.strictObject({ hostId: HostId, atMs: z.number(), jobs: z.array(JobUsage).max(2000) }),
  timeoutMs: 4000,
});
