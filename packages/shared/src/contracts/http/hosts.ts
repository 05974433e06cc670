/** Hosts of the pod, and how a machine joins. */
import { z } from "zod";
import { HostId } from "../../domain/ids.ts";
import { HostName, OrgName, PodName } from "../../domain/names.ts";
import { HostState } from "../../domain/placement.ts";

import { route } from "./route.ts";

/** Something wrong with a host that an operator should look at. */
export const HostAlarm = z.strictObject({ code: z.string().max(60), detail: z.string().max(500) });

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
  /** Takes no new work. */
  cordoned: z.boolean(),
  /** Takes no new work, and what it runs moves elsewhere, start-first. */
  draining: z.boolean(),
  labels: z.record(z.string(), z.string()),
  /** The only org whose work it takes. */
  dedicatedTo: OrgName.nullable(),
  pod: PodName.default("main"),
  alarms: z.array(HostAlarm).default([]),
});
export const HostPath = z.strictObject({ host: HostName });
const LabelName = z
  .string()
  .regex(
    /^[a-z]([a-z0-9./-]{0,61}[a-z0-9])?$/,
    "a label must be lower-case letters, digits, '.', '/' and '-'",
  );
export const listHosts = route({
  method: "GET",
  path: "/v1/hosts",
  role: "operator",
  summary: "Hosts of the pod with their standing bids",
  reply: z.strictObject({ hosts: z.array(Host) }),
});
export const changeHost = route({
  method: "PATCH",
  path: "/v1/hosts/:host",
  role: "operator",
  summary: "Cordon, drain, label or dedicate a host",
  params: HostPath,
  body: z.strictObject({
    cordoned: z.boolean().optional(),
    draining: z.boolean().optional(),
    /** Null removes a label. */
    labels: z.record(LabelName, z.string().max(63).nullable()).optional(),
    dedicatedTo: OrgName.nullable().optional(),
  }),
  reply: Host,
});
export const removeHost = route({
  method: "DELETE",
  path: "/v1/hosts/:host",
  role: "operator",
  summary: "Forget a host that runs nothing; with `force` also one that was lost with its jobs",
  params: HostPath,
  query: z.strictObject({ force: z.enum(["0", "1"]).default("0") }),
  reply: z.strictObject({ removed: z.literal(true) }),
});
export const createJoinToken = route({
  method: "POST",
  path: "/v1/hosts/join-tokens",
  role: "operator",
  summary: "A one-time token with which one machine joins",
  body: z.strictObject({
    lifetimeMinutes: z.int().min(1).max(1440).default(60),
    /** The pod that the machine joins. */
    pod: PodName.default("main"),
    /** Its zone, unless the machine names another one. */
    zone: z.string().min(1).max(40).optional(),
  }),
  reply: z.strictObject({ token: z.string(), expiresAt: z.string(), pod: PodName.default("main") }),
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
    /** When left out, the token's, else `default`. */
    zone: z.string().max(40).optional(),
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
